import json
import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.domain import InputFile
from batchinfer.store.json_codec import (
    MAX_STATEMENT_CHARS,
    MAX_STATEMENT_ROWS,
    decode_files,
    decode_json,
    encode_files,
    encode_json,
    escape_non_utf8,
    split_into_pages,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON)
def test_json_comes_back_equal(value):
    assert decode_json(encode_json(value)) == value


@given(JSON)
def test_what_is_stored_is_strict_json(value):
    def refuse(word):
        pytest.fail(word)

    json.loads(encode_json(value), parse_constant=refuse)


SPELLED = {
    "nan": (math.nan, '"NaN"'),
    "infinity": ([math.inf, None], '["Infinity",null]'),
    "minus infinity": ({"a": (-math.inf,)}, '{"a":["-Infinity"]}'),
    "nan beside a large integer": ([math.nan, 2**70], f'["NaN",{2**70}]'),
    "the text null": (["null"], '["null"]'),
    "64 bits": (2**64 - 1, str(2**64 - 1)),
    "more than 64 bits": (-(2**200), str(-(2**200))),
    "half a character": ("a\udc80\ud800é", '"a\\\\udc80\\\\ud800é"'),
    "half a character in a key": ({"\udc80": 1}, '{"\\\\udc80":1}'),
    "a key that is no text": ({1: "x", 2.5: "y"}, '{"1":"x","2.5":"y"}'),
    "NUL": ("a\0b", '"a\\u0000b"'),
}


@pytest.mark.parametrize(("value", "text"), SPELLED.values(), ids=SPELLED)
def test_json_is_spelled(value, text):
    assert encode_json(value) == text
    json.loads(text)


@pytest.mark.parametrize("number", [2**63, -(2**64), 2**64, 12345678901234567890123, 10**30 + 1])
def test_integers_are_exact(number):
    assert decode_json(encode_json({"n": number, "f": 0.5})) == {"n": number, "f": 0.5}


def test_deep_nesting_comes_back():
    value = None
    for _ in range(300):
        value = [value]
    assert decode_json(encode_json(value)) == value


@given(
    st.lists(
        st.builds(
            InputFile,
            st.text(),
            st.binary(min_size=1).map(os.fsdecode),
            st.none() | st.integers(0, 2**63 - 1),
            st.none() | st.integers(0, 2**63 - 1),
        )
    )
)
def test_paths_come_back_byte_for_byte(files):
    text = encode_files(files)
    text.encode()
    assert decode_files(text) == tuple(files)


def test_rows_come_in_pages_of_bounded_size():
    large = "x" * (MAX_STATEMENT_CHARS // 2)
    rows = [[1, large], [2, "é"], [3, large], [4, None], [5, large], [6, 2 * large], [7, ""]]
    made = list(split_into_pages(rows, [1]))
    assert [row for page in made for row in page] == rows
    for page in made:
        assert len(page) == 1 or sum(len(row[1] or "") for row in page) <= MAX_STATEMENT_CHARS
    assert list(split_into_pages([])) == []


def test_rows_come_in_pages_of_bounded_length():
    rows = [[n] for n in range(2 * MAX_STATEMENT_ROWS + 7)]
    made = list(split_into_pages(rows))
    assert [row for page in made for row in page] == rows
    # Powers of two: few different statements.
    assert [len(page) for page in made] == [MAX_STATEMENT_ROWS, MAX_STATEMENT_ROWS, 4, 2, 1]


PRINTED = {
    "plain": ("abc", "abc"),
    "not ASCII": ("ä→", "ä→"),
    "bytes that are not UTF-8": (os.fsdecode(b"a\xff\xc3b"), "a\\xff\\xc3b"),
    "NUL": ("a\0b", "a\\x00b"),
    "half a character": ("\ud800", "\\ud800"),
}


@pytest.mark.parametrize(("text", "expected"), PRINTED.values(), ids=PRINTED)
def test_printable_text_is_what_every_tool_can_read(text, expected):
    assert escape_non_utf8(text) == expected
