"""`str()` of Python objects, read back."""

import json
import math

import pytest
from answers import values
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.oscar import literal
from batchinfer.oscar.literal import MAX_DEPTH, MAX_TEXT, Read, read_at, read_literal, unfold


def plain(value):
    """As JSON has it: tuples as lists."""
    match value:
        case list() | tuple():
            return [plain(entry) for entry in value]
        case dict():
            return {key: plain(entry) for key, entry in value.items()}
        case _:
            return value


def same(one, other):
    """Equal, types and signs and nan included."""
    return repr(one) == repr(other)


@given(values)
def test_any_value_comes_back_from_its_repr(value):
    read = read_literal(repr(value))
    assert read is not None
    assert same(read.value, plain(value))


@given(values)
def test_any_value_comes_back_from_its_json(value):
    read = read_literal(json.dumps(value))
    assert read is not None
    assert same(read.value, json.loads(json.dumps(value)))


@given(values)
def test_the_quick_ways_read_what_the_reader_reads(value):
    for text in (repr(value), json.dumps(value), repr(value).replace("'", '"')):
        slow = literal._Reader(text, 0).read()
        for quick in (literal._json_at(text, 0), literal._plain_at(text, 0)):
            assert quick is None or same(quick, slow)


@given(values, st.sampled_from([" ", "\n", "\nmore", " more", "]", "\x1b[00m"]))
def test_a_literal_ends_where_it_ends(value, rest):
    text = repr(value)
    read = read_at("return: " + text + rest, 8)
    assert read is not None
    assert read.end == 8 + len(text)


@given(st.text(st.sampled_from("[](){},:'\"\\ \nb0123456789.eE+-_naifTruNoesxu")))
def test_no_text_breaks_the_reader(text):
    read = read_literal(text)
    assert read is None or not text[read.end :].strip()


READ = [
    ("None", None),
    ("True", True),
    ("inf", math.inf),
    ("-inf", -math.inf),
    ("nan", math.nan),
    ("-0.0", -0.0),
    ("1e+16", 1e16),
    ("1.", 1.0),
    (str(2**70), 2**70),
    ("()", []),
    ("(1,)", [1]),
    ("set()", []),
    ("{1}", [1]),
    ("frozenset()", []),
    ("frozenset({1})", [1]),
    ("{}", {}),
    ("{1: 'a', 1.5: 'b', True: 'c', None: 'd'}", {"1": "a", "1.5": "b", "true": "c", "null": "d"}),
    ("{('a', 1): 2, b'k': 3}", {"('a', 1)": 2, "k": 3}),
    ("'it\\'s \"q\"\\n'", 'it\'s "q"\n'),
    (r"'\x00\x1b\u2028\U0001f600\t\r\\'", "\x00\x1b\u2028\U0001f600\t\r\\"),
    (r"'\ud800'", "\\ud800"),
    (r'["\ud83d\ude00", "\ud800", "\/\b\f"]', ["\U0001f600", "\\ud800", "/\b\f"]),
    ("b'abc'", "abc"),
    (r"[b'\xff\x00']", ["b'\\xff\\x00'"]),
    (r"b'\xc3\xa9'", "é"),
    ("{null: [true, false, NaN, Infinity, -Infinity]}",
     {"null": [True, False, math.nan, math.inf, -math.inf]}),
    ("np.float64(0.5)", 0.5),
    ("numpy.int32(-3)", -3),
    ("[np.float32(nan), np.True_, np.False_, np.str_('a'), np.bool_(True), np.uint8(7)]",
     [math.nan, True, False, "a", True, 7]),
    ("array([[1., 2.],\n       [3., 4.]], dtype=float32)", [[1.0, 2.0], [3.0, 4.0]]),
    ("[array([], shape=(0, 3), dtype=float64)]", [[]]),
    ("array(['a', 'b'], dtype='<U1')", ["a", "b"]),
    ("array([(1, 2.)], dtype=[('a', '<i4'), ('b', '<f8')])", [[1, 2.0]]),
    ("{'m': array([ True, False])}", {"m": [True, False]}),
    ("array(3)", 3),
    ("tensor([[0.1, -1e-05]], device='cuda:0', grad_fn=<AddBackward0>)", [[0.1, -1e-05]]),
    ("[0.1 0.2]", [0.1, 0.2]),
    ("[[ 1 -2]\n [30  4]]", [[1, -2], [30, 4]]),
    ("[1.e+00 -2.e-09     nan]", [1.0, -2e-09, math.nan]),
    ("[ True False]", [True, False]),
    ("['a' 'b']", ["a", "b"]),
    ("[(1, 2.) (3, 4.)]", [[1, 2.0], [3, 4.0]]),
    (" [1]\n", [1]),
    ("[" * MAX_DEPTH + "]" * MAX_DEPTH, ...),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), READ, ids=[text[:40] for text, _ in READ])
def test_a_literal_is_read(text, value):
    read = read_literal(text)
    assert read is not None
    assert value is ... or same(read.value, value)


NOT_READ = [
    *("", " ", "hello", "007", "+5", "1_000", "0x1f", "1e", "1.2.3", "12:30", "-", "...", "1 2"),
    *("(1)", "[1,]", "[,]", "[1, 2 3]", "[1 2, 3]", "[1-2]", "{1, 2: 3}", "{1: 2, 3}", "{1:}"),
    *("{:1}", "[1", "1]", "]", "[1)", "{'a' 'b'}", "('a' 'b')", "'a' 'b'", "'a", "'a\nb'"),
    *(r"'\q'", r"'\x1'", r"'\U00110000'", r"'\N{DASH}'", "b'é'", "u'a'", "f'a'", "[INFO]"),
    *("set(1)", "set([1], [2])", "print('x')", "np.sin(1)", "array(1, 2)", "np.float64()"),
    *("array([1, 2, ..., 8, 9])", "[0 1 ... 8 9]", "array([1], 2)", "(1+2j)", "dtype=float32"),
    *("<object at 0x7f>", "[<object at 0x7f>]", "OrderedDict({'a': 1})", "{'a': datetime(1)}"),
    *("defaultdict(<class 'int'>, {})", "np.float64([1])", "frozenset('a')", "array({'a': 1})"),
    *("[, dtype=x]", ", dtype=x", "[1, dtype=x]", "1" * 5000, "[" + "1" * 5000 + "]"),
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_READ, ids=[text[:40] for text in NOT_READ])
def test_what_is_no_literal_is_left_alone(text):
    assert read_literal(text) is None


@pytest.mark.parametrize("opener", ["[", "(", "{'a':", "set(", "[(", '{"a":['])
def test_what_is_nested_too_deeply_is_not_read(opener):
    assert read_literal(opener * 3_000_000) is None
    closed = {"[": "]", "(": ",)", "{": "}", "s": ")"}
    deep = opener * (MAX_DEPTH + 1) + "1"
    deep += "".join(closed.get(sign, "") for sign in reversed(opener)) * (MAX_DEPTH + 1)
    assert read_literal(deep) is None


@pytest.mark.parametrize(
    "text",
    [
        "[" + "1," * 6_000_000 + "1]",
        "[" + "1 " * 500_000 + "1-]",
        "'" + "\\" * 10_000_001,
        "['a\\" * 3_000_000,
        "9" * 10_000_000,
        "[" + " " * 10_000_000,
        "array(" + ", dtype=[" * 1_000_000,
        "np." * 3_000_000,
        "[" + "'a' " * 1_000_000 + "x",
        "{" + "'a': 1, " * 300_000 + "x",
    ],
    ids=[
        "values",
        "numpy",
        "escapes",
        "strings",
        "digits",
        "blanks",
        "dtypes",
        "names",
        "sets",
        "d",
    ],
)
def test_hostile_text_is_given_up(text):
    assert read_literal(text) is None


def test_text_beyond_the_limit_is_not_read():
    assert read_literal("[" + " " * MAX_TEXT + "]") is None


def test_bytes_are_kept_as_bytes_too_where_they_are_all_there_is():
    assert read_literal(r"b'\x89PNG'") == Read(r"b'\x89PNG'", 10, b"\x89PNG")
    assert read_literal(r"[b'\x89PNG']") == Read([r"b'\x89PNG'"], 12)


@pytest.mark.parametrize(
    ("value", "unfolded"),
    [
        ('[1, {"a": null}]', [1, {"a": None}]),
        (['[\n {"a": 1}\n]', "x"], [[{"a": 1}], "x"]),
        ({"a": {"b": [' {"c": NaN} ']}}, {"a": {"b": [{"c": math.nan}]}}),
        ('["[1]"]', ["[1]"]),
        (["[1"], ["[1"]),
        (["[1] x"], ["[1] x"]),
        (["{'a': 1}"], ["{'a': 1}"]),
        (['"x"', "1", "null"], ['"x"', "1", "null"]),
        (["[" * 5000], ["[" * 5000]),
        (1, 1),
    ],
)
def test_json_in_strings_is_said_once(value, unfolded):
    before = repr(value)
    after, changed = unfold(value)
    assert same(after, unfolded)
    assert changed == (before != repr(unfolded))
