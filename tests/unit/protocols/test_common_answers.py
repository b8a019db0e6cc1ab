"""The quick readers of most answers: they say what the general readers say, or nothing."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.domain import JSON_MEDIA_TYPE, Reply
from batchinfer.protocols.ai4os.common_literals import parse_prediction_line
from batchinfer.protocols.ai4os.common_transcript import find_common_value
from batchinfer.protocols.ai4os.literals import parse_nested_json, parse_printed
from batchinfer.protocols.ai4os.reply_parser import parse_any_body, parse_body
from batchinfer.protocols.ai4os.repr_tokens import INVALID_LITERAL
from support.deepaas_answers import RESET, STAMP, containers, noise, record, sync_body
from support.paths import FIXTURES

COMMON = [
    "sync_2.5.2_ok_yolo_current_format.body",
    "sync_2.5.2_ok_yolo_seed_format.body",
    "sync_2.6.0_ok_yolo_seed_format.body",
]
BODIES = [path.read_bytes() for path in sorted(FIXTURES.rglob("*.body"))]

JSON_TEXTS = ['["[1]"]', '{"a": ["{\\"b\\": 1}"]}', '["\\ud83d\\ude00", "\\ud800"]', '["\\n[1]"]']
NUMBERS = [*("1e400", "-0", "-0.0", "0.10", "1.", "007", "1e16", "1e+16", "1e-05", "1e-5", "1E5"),
           *("12345678901234567890", "18446744073709551615", "9223372036854775808", "5e-324"),
           *("0.1234567890123456789", "1.7976931348623157e+308", "0.00001", "100000000000000000.0"),
           *("nan", "-inf", "NaN", "Infinity", "np.float64(0.5)", "0x1f", "1_000")]  # fmt: skip
EDITS = [
    *("'", '"', "\\", "\\'", "\\n", "\\x41", "\\ud800", "\ud83d", "\xa0", "\x7f", "\u2028", "\0"),
    *(" ", ", ", ",", ": ", ":", "[", "]", "{", "}", "(", ")", "\n", "\r", "\t", "e", "0", "-"),
    *("None", "True", "null", "true", "Falsehood", "return: ", "] return: ", "[1]", "'[1]'", "'a'"),
    *("CRITICAL", "CRI\x1b[1mTICAL", f"{STAMP}CRITICAL deepaas-cli [-] Unhandled error: x\n"),
    *(RESET, f"{RESET}\n", "\x1b[34m", "\x1b", "[INFO, Method] predict was called.", "y" * 500),
    *("\n[*] Final command: deepaas-cli predict\n", "[*] Processing file", "it/s]", "[" * 101),
    *(record("return: [2]", version) for version in ("2.5.2", "2.6.0")),
    *(record("[INFO, Method] predict was called.", "2.5.1"), "\n{'a': 1}\n", *NUMBERS, *JSON_TEXTS),
]  # fmt: skip


@st.composite
def edited(draw, texts):
    """A text that was cut, doubled and put together anew in a few places."""
    text = draw(texts)
    for _ in range(draw(st.integers(0, 3))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        kind = draw(st.sampled_from(["insert", "replace", "cut", "double", "end", "anywhere"]))
        match kind:
            case "insert":
                text = text[:start] + draw(st.sampled_from(EDITS)) + text[start:]
            case "replace":
                text = text[:start] + draw(st.sampled_from(EDITS)) + text[start + 1 :]
            case "cut":
                text = text[:start] + text[end:]
            case "double":
                text = text[:end] + text[start:]
            case "end":
                text = text[:end]
            case "anywhere":
                text = text[:start] + draw(st.text(max_size=3)) + text[start:]
    return text


def read_generally(line):
    """What the general readers make of a line that holds a list or dict."""
    found = parse_printed(line)
    return INVALID_LITERAL if found is None else parse_nested_json(found.value)[0]


def read_quickly_or_not(line):
    quick = parse_prediction_line(line)
    if quick is not INVALID_LITERAL:
        assert repr(quick) == repr(read_generally(line))
    return quick


json_leaves = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["it's", '"', "a, b", "a: b", "None", "[1]", ' {"a": 1}', "'\"", "\\", "é"])
)  # fmt: skip
json_values = st.recursive(
    json_leaves,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner, max_size=5)
    ),
    max_leaves=20,
)
json_containers = json_values.filter(lambda value: isinstance(value, (list, dict)))
lines = st.one_of(
    containers.map(repr),
    json_containers.map(repr),
    json_containers.map(lambda value: repr(value).replace(", ", ",").replace(": ", ":")),
    json_containers.map(json.dumps),
    json_containers.map(lambda value: json.dumps(value, ensure_ascii=False)),
    st.lists(st.sampled_from([*NUMBERS, *JSON_TEXTS, "'a'", '"b"', "'it\\'s'", "None"])).map(
        lambda parts: f"[{', '.join(parts)}]"
    ),
)


@given(edited(lines))
def test_a_line_is_read_as_the_general_reader_reads_it_or_not_at_all(line):
    read_quickly_or_not(line)


@given(json_containers)
def test_each_repr_of_what_json_knows_is_read_back_by_the_general_reader(value):
    """On this the quick way rests."""
    expected = repr(parse_nested_json(json.loads(json.dumps(value)))[0])
    assert repr(read_generally(repr(value))) == expected


plain_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**17), 10**17) | st.text("abcXYZ ,:[{-é", max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("abc", max_size=3), inner),
)  # fmt: skip


@given(plain_values)
def test_plain_predictions_are_read_quickly(value):
    """Or nobody would notice that the quick way is never taken."""
    assert read_quickly_or_not(repr({"value": value})) is not INVALID_LITERAL


@given(st.sampled_from(BODIES), st.booleans(), st.data())
def test_a_body_is_read_as_the_general_reader_reads_it(body, is_framed, data):
    text = data.draw(edited(st.just(body.decode(errors="replace"))))
    check_body(text.encode(errors="replace"), is_framed=is_framed)


bodies = st.builds(
    sync_body,
    lines,
    st.sampled_from(["2.5.2", "2.6.0"]),
    before=noise,
    after=noise,
    bar=st.sampled_from(["", "50%|##", "x" * 450]),
)


@given(bodies, st.data())
def test_any_body_is_read_as_the_general_reader_reads_it(body, data):
    check_body(body)
    text = data.draw(edited(st.just(body.decode(errors="replace"))))
    check_body(text.encode(errors="replace"))


def check_body(body, *, is_framed=True):
    text = body.decode(errors="replace")
    quick = parse_body(body, is_framed=is_framed)
    assert repr(quick) == repr(parse_any_body(body, text, is_framed=is_framed))


@pytest.mark.parametrize("name", COMMON)
def test_the_answers_of_the_platform_are_read_quickly(name):
    text = (FIXTURES / name).read_text()
    line = find_common_value(text)
    assert line is not None
    assert parse_prediction_line(line) is not INVALID_LITERAL
    check_body(text.encode())


@pytest.mark.parametrize(
    "value",
    [
        [{"name": "bear", "box": {"x1": 1.5, "y1": -3.0}, "score": 0.93346}],
        {"labels": ["a, b", "c: d"], "probabilities": [1e-05, 3.2e-07, 0.5]},
        {"mask": None, "crowd": False, "text": 'say "hi"\n'},
        ['[{"name": "bear"}]'],
        [[[0.5, 1], [2, 3.25]]] * 200,
    ],
)
def test_usual_predictions_are_read_quickly(value):
    assert read_quickly_or_not(repr(value)) == parse_nested_json(value)[0]


@pytest.mark.parametrize(
    "line",
    ["['a','b']", "['a', null]", "['a', 1.10]", "['a', 1e16]", "[nan]", "[1, 'x', 1e400]", "('a',)",
     "{'a': 1, 'a': 2}", "['it\\'s']", f"['a', {10**30}]", f"[{10**30}]", "[" * 101 + "]" * 101,
     "['a']x", "['a'] ", " ['a']", "['a\x07']", "'a'", "5", ""],
)  # fmt: skip
def test_what_is_not_certain_is_left_to_the_general_reader(line):
    assert parse_prediction_line(line) is INVALID_LITERAL


def test_the_seconds_on_the_server_are_in_the_reply_whoever_reads_it():
    for printed in ("[1]", "[nan]", "a text"):
        reply = parse_body(sync_body(printed, "2.6.0"), server_seconds=0.5)
        assert isinstance(reply, Reply)
        assert reply.server_seconds == 0.5


def test_numbers_that_json_cannot_say_are_still_read():
    reply = parse_body(sync_body("{'x': nan, 'y': inf}", "2.6.0"))
    assert reply.media_type == JSON_MEDIA_TYPE
    assert math.isnan(reply.prediction["x"])
    assert math.isinf(reply.prediction["y"])
