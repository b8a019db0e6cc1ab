from __future__ import annotations

import base64
import html
import json
import re
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.backends.redaction import Redactor, is_strong_secret, is_weak_secret
from batchinfer.domain import Failure, Reply
from batchinfer.protocols.ai4os.reply_parser import parse_body
from support.deepaas_answers import sync_body

SECRETS = ["0123456789abcdef" * 4, "pa ss/wo+rd", 'it\'s "quoted" & <é>\\n', "secret-key=="]

SPELLINGS = {
    "plain": str,
    "url": lambda s: quote(s, safe=""),
    "url path": quote,
    "url, lower-case escapes": lambda s: re.sub("%..", lambda m: m[0].lower(), quote(s, safe="")),
    "form": quote_plus,
    "json": json.dumps,
    "json, unicode kept": lambda s: json.dumps(s, ensure_ascii=False),
    "python": repr,
    "shell": shlex.quote,
    "html": html.escape,
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 of more": lambda s: base64.b64encode(b"user:" + s.encode() + b"\n").decode(),
    "base64 of one before": lambda s: base64.b64encode(b":" + s.encode()).decode(),
    "url-safe base64": lambda s: base64.urlsafe_b64encode(b"?>" + s.encode()).decode(),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_is_masked_however_it_is_spelled(secret, spelling):
    redact = Redactor([secret])
    told = f"before {SPELLINGS[spelling](secret)} after"
    masked = redact.redact_text(told)
    assert "***" in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    # Base64 leaves the characters that mix with the neighbours: six of a secret's bits at most.
    assert len(masked) <= len("before *** after") + (13 if "base64" in spelling else 2)
    assert redact.redact_bytes(told.encode()) == masked.encode()


def test_the_longest_secret_wins_where_one_holds_another():
    redact = Redactor(["abcd", "abcdefgh"])
    assert redact.redact_text("abcdefgh abcd") == "*** ***"


def test_what_is_too_short_to_be_a_secret_is_left_alone():
    assert Redactor(["", "abc"]).redact_text("abc, as in alphabet") == "abc, as in alphabet"


def test_bytes_without_a_secret_are_not_copied():
    body = b"\x89PNG" * 1000
    assert Redactor(SECRETS).redact_bytes(body) is body


@given(st.text(min_size=4).filter(lambda s: "*" not in s), st.text(), st.text())
def test_no_secret_survives_in_any_text(secret, before, after):
    masked = Redactor([secret]).redact_text(before + secret + after)
    assert secret not in masked


@given(st.text(min_size=4), st.binary(max_size=200))
def test_any_secret_and_any_bytes_are_survived(secret, data):
    redact = Redactor([secret])
    assert redact.redact_bytes(redact.redact_bytes(data)) == redact.redact_bytes(data)


STRONG, WORD = "0123456789abcdef", "bear"


@pytest.mark.parametrize(
    ("prediction", "masked"),
    [
        (f"a {STRONG} b", "a *** b"),
        ({"a": [{"b": STRONG}], "c": 1}, {"a": [{"b": "***"}], "c": 1}),
        ({STRONG: [STRONG, None]}, {"***": ["***", None]}),
        ({1: STRONG, None: [{2.5: STRONG}]}, {1: "***", None: [{2.5: "***"}]}),
        ([f"eyJ{base64.b64encode(b'user:' + STRONG.encode()).decode()}"], ["eyJdXNlcjo***"]),
        ([[WORD], {WORD: WORD}], [[WORD], {WORD: WORD}]),
        (None, None),
        (5, 5),
    ],
)
def test_only_a_strong_secret_is_masked_in_a_prediction(prediction, masked):
    reply = Redactor([STRONG, WORD]).redact_outcome(
        Reply(prediction=prediction, log=f"{WORD} {STRONG}")
    )
    assert reply.prediction == masked
    assert WORD not in reply.log
    assert STRONG not in reply.log
    assert ("stood in the prediction" in reply.log) == ("***" in str(masked))


def test_a_strong_secret_is_masked_in_a_file_and_a_word_is_not():
    redact = Redactor([STRONG, WORD])
    data = redact.redact_outcome(Reply("text/x", data=f"{WORD} {STRONG}".encode())).data
    assert data == b"bear ***"


STRONG_SECRETS = [
    STRONG,
    'say "0123456789" \\ it\'s',
    "two\nlines\t0123456789\x01\x7f",
    "é\u2028\U0001f600-0123456789-ü",
    "undecodable \udcff 0123456789",
    "aaaaaaaaaaaaaaaaaaaaaaa1",
]


def masked_everywhere(value, redact):
    """A prediction with the secrets in each of its texts masked."""
    match value:
        case str():
            return redact.redact_text(value)
        case list():
            return [masked_everywhere(entry, redact) for entry in value]
        case dict():
            return {
                masked_everywhere(key, redact): masked_everywhere(entry, redact)
                for key, entry in value.items()
            }
        case _:
            return value


@st.composite
def predictions_with(draw, secret):
    """What holds a secret in some spelling, or a part of one, or none; not all of it JSON."""
    spelled = draw(st.sampled_from(list(SPELLINGS.values())))
    try:
        held = spelled(secret)
    except UnicodeEncodeError:
        held = secret
    cut = draw(st.integers(0, len(held)))
    parts = st.sampled_from([held, held, held[:cut], held[cut:], "***", "", "\ud800", '"', "\\"])
    texts = st.lists(parts | st.text(max_size=3), max_size=3).map("".join)
    texts |= texts.map(json.dumps)
    leaves = texts | st.sampled_from([None, True, 5, 10**30, 0.5, float("nan"), 1234567890123456])
    return draw(
        st.recursive(
            leaves,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
            max_leaves=8,
        )
    )


@given(st.sampled_from(STRONG_SECRETS), st.data())
def test_no_text_of_a_prediction_is_overlooked(secret, data):
    redact = Redactor([secret, WORD])
    assert is_strong_secret(secret)
    prediction = data.draw(predictions_with(secret))
    expected = masked_everywhere(prediction, Redactor([secret]))
    was = repr(prediction)
    reply = redact.redact_outcome(Reply(prediction=prediction))
    assert repr(reply.prediction) == repr(expected)
    assert ("stood in the prediction" in reply.log) == (repr(expected) != was)


@pytest.mark.parametrize(
    "printed",
    [
        "['\\x30123456789abcdef']",
        "['[\"\\\\u0030123456789\\\\u0061bcdef\"]']",
        '["\\u0030123456789abcdef"]',
        "b'\\x30123456789abcdef'",
        "('0123456789abcdef',)",
    ],
)
@pytest.mark.parametrize("version", ["2.5.2", "2.6.0"])
def test_a_secret_that_shows_only_when_the_answer_is_read_is_masked(printed, version):
    reply = parse_body(sync_body(printed, version))
    assert STRONG in repr(reply.prediction)
    redacted = Redactor([STRONG]).redact_outcome(reply)
    assert STRONG not in repr(redacted)
    assert "***" in repr(redacted.prediction)


@pytest.mark.parametrize(
    "outcome",
    [
        Reply(prediction=[{"a": "b"}, 1, None], log="a log"),
        Reply("image/png", data=b"\x89PNG", log="a log"),
        Failure("x", "a message", log="a log"),
    ],
)
def test_an_outcome_without_a_secret_is_not_copied(outcome):
    assert Redactor([STRONG, WORD]).redact_outcome(outcome) is outcome


def test_a_failure_says_no_secret():
    failure = Redactor([WORD]).redact_outcome(Failure("x", "a bear", log="two bears"))
    assert (failure.message, failure.log) == ("a ***", "two ***s")


@pytest.mark.parametrize("secret", ["bear", "a1b2c3", "correcthorsebattery", "1234567890"])
def test_a_weak_secret_is_known(secret):
    assert is_weak_secret(secret)
    assert not is_strong_secret(secret)


@pytest.mark.parametrize("secret", ["jo.doe1@uni.example", "s3cret-key", "a-b-c-d-e-f-g-h-i"])
def test_a_secret_that_may_be_something_else_is_neither_weak_nor_strong(secret):
    assert not is_weak_secret(secret)
    assert not is_strong_secret(secret)
