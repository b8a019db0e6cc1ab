"""The same model gives the same result in both modes, whatever it returns.

Answers are written as `deepaas-cli` and the service script write them: `str()` of the value into
the transcript, `json.dumps` of it into the output object.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchinfer.domain import JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE, Reply
from batchinfer.protocols.ai4os.literals import parse_printed_at
from batchinfer.protocols.ai4os.reply_parser import parse_body, parse_output
from support.deepaas_answers import STAMP, leaves, record

VERSIONS = ["2.5.0", "2.5.1", "2.5.2", "2.6.0"]
BARE = {"2.5.0", "2.5.1"}

numeric = st.from_regex(r"[-+]?[0-9][0-9._eE+-]{0,8}", fullmatch=True)
resembling = st.sampled_from(
    [
        *(
            "12E4",
            "1.10",
            "-0",
            "true",
            "null",
            '"A"',
            "'A'",
            "1E400",
            "0.50",
            "+1",
            "1_000",
            "007",
        ),
        *("0x10", "(1)", "NaN", "Infinity", "AB 123", "[INFO] done", "{x}", "['a','b']", "[1,2]"),
        *("(1, 2)", "{'a': 1}", '{"a": [1, null]}', '[\n  {"a": 1}\n]', "set()", "array([1])"),
        *("2026-01-02 03:04:05 on", "2026-01-02 03:04:06.789 off\nend", "return: [1]", "a\nb\n"),
        *("it's", 'say "hi"', "back\\slash", "e\u0301 \u2028 𝄞", " 5", "5 ", "tensor(1)"),
        *("[[1, 'a'], (2,)]", '["[1]"]', "['[1]']", "1.", "nan ", "- 5"),
    ]
)
texts = st.text(max_size=30) | numeric | resembling
keys = texts | st.integers() | st.booleans() | st.none() | st.floats()
values = texts | st.recursive(
    leaves | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=15,
)


def sync(value: object, version: str) -> bytes:
    """The body of a call."""
    called = "[INFO, Method] predict was called." if version in BARE else "predict was called."
    printed = f"{value}\n" if version in BARE else record(f"return: {value}", version)
    command = "[*] Final command: deepaas-cli predict --mode x\n"
    lines = f"[*] Using DEEPaaS version {version}\nevent-file-1\n" + record(called, version)
    return f"{lines}{printed}{command}\n".encode()


def unlike(value: object, version: str) -> bool:
    """Whether the platform itself makes the two modes differ for a value."""
    if version in BARE and (value is None or isinstance(value, int)):
        return True  # 2.5.0 and 2.5.1 print neither None nor whole numbers
    return isinstance(value, str) and any(why(value) for why in reasons(version))


def reasons(version: str) -> list[Callable[[str], object]]:
    """Why a text may be read differently in sync mode."""
    always = [half_pair, like_a_number]
    if version == "2.6.0":
        return [*always, lambda text: "\x1b" in text]  # the mark of a record's end
    unmarked = [*always, with_more_behind, platform_line, blank_first]
    return [*unmarked, coloured, several_lines] if version in BARE else unmarked


def half_pair(text: str) -> bool:
    """No transcript can hold one."""
    return any("\ud800" <= sign <= "\udfff" for sign in text)


def like_a_number(text: str) -> bool:
    """`str()` prints the text '5' and the number 5 alike: the number wins in sync mode."""
    first = parse_printed_at(text, 0)
    return first is not None and (first.is_scalar or first.data is not None)


def with_more_behind(text: str) -> bool:
    """What the model prints behind a list is written like the rest of such a text."""
    first = parse_printed_at(text, 0)
    return first is not None and first.end < len(text.rstrip())


def platform_line(text: str) -> bool:
    """Only 2.6.0 marks the end of a text that holds a line of the platform."""
    found = re.search(rf"^{STAMP[:10]}|^\[\*\] |^Output will be saved", text, re.MULTILINE)
    return found is not None


def blank_first(text: str) -> bool:
    """An empty text, and what the model prints behind it, are written like this."""
    return text[:1] == "\n" or not text.strip()


def coloured(text: str) -> bool:
    """Colours and progress bars are no result."""
    return any(sign in text for sign in ("\x1b", "%|", "it/s"))


def several_lines(text: str) -> bool:
    """Nothing tells which line was returned."""
    lines = text.split("\n")
    return len(lines) > 1 and any(parse_printed_at(f"{line}\n", 0) for line in lines)


def recorded(outcome: object) -> str:
    """What a run keeps of an outcome, not-a-number equal to itself."""
    assert isinstance(outcome, Reply), outcome
    return repr((outcome.media_type, outcome.prediction, outcome.data))


@given(values, st.sampled_from(VERSIONS))
@example("12E4", "2.5.2")
@example(math.nan, "2.5.1")
def test_both_modes_record_the_same(value, version):
    if unlike(value, version):
        return

    called = parse_body(sync(value, version))
    saved = parse_output(json.dumps(value).encode(), "")

    assert recorded(called) == recorded(saved)


@given(texts, st.sampled_from(VERSIONS))
def test_a_text_that_is_no_data_is_recorded_as_it_was_returned(text, version):
    saved = parse_output(json.dumps(text).encode(), "")
    if unlike(text, version) or saved.media_type == JSON_MEDIA_TYPE:
        return

    assert (saved.media_type, saved.prediction) == (TEXT_MEDIA_TYPE, text)
    assert recorded(parse_body(sync(text, version))) == recorded(saved)


@pytest.mark.parametrize("text", ["5", "-3", "0.5", "None", "True", "nan", "b'x'"])
def test_where_sync_mode_cannot_tell_the_value_wins_there_and_the_text_in_async_mode(text):
    called = parse_body(sync(text, "2.6.0"))
    saved = parse_output(json.dumps(text).encode(), "")

    assert called.media_type == JSON_MEDIA_TYPE
    assert (saved.media_type, saved.prediction) == (TEXT_MEDIA_TYPE, text)


@pytest.mark.parametrize("text", ["5", "None", "True"])
def test_what_the_old_versions_never_print_of_a_value_is_a_text(text):
    assert recorded(parse_body(sync(text, "2.5.1"))) == repr((TEXT_MEDIA_TYPE, text, None))
