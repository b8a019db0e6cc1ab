"""`str()` of Python objects, read back."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.protocols.ai4os.literals import (
    MAX_LITERAL_CHARS,
    ParsedLiteral,
    parse_json_at,
    parse_literal,
    parse_nested_json,
    parse_printed,
    parse_printed_at,
    parse_returned_text,
)
from batchinfer.protocols.ai4os.repr_parser import (
    MAX_LITERAL_DEPTH,
    MAX_REPR_TOKENS,
    parse_repr_at,
    parse_simple_repr,
)
from batchinfer.protocols.ai4os.repr_tokens import INVALID_LITERAL
from support.deepaas_answers import containers, values


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
    read = parse_literal(repr(value))
    assert read is not None
    assert same(read.value, plain(value))


@pytest.mark.slow
@given(values.filter(lambda value: not isinstance(value, str)))
def test_any_value_comes_back_from_what_str_prints(value):
    read = parse_printed(str(value))
    assert read is not None
    assert same(read.value, plain(value))


@given(containers)
def test_any_value_comes_back_from_its_json(value):
    read = parse_json_at(json.dumps(value), 0)
    assert read is not None
    assert same(read.value, json.loads(json.dumps(value)))


@given(containers)
def test_the_quick_way_reads_what_the_slow_one_reads(value):
    for text in (repr(value), repr(value).replace("'", '"'), repr(value).replace(", ", ",")):
        quick, slow = parse_simple_repr(text), parse_repr_at(text, 0)
        if quick is not INVALID_LITERAL:
            assert slow is not None
            assert same((quick, len(text)), (slow.value, slow.end))


@given(values.filter(lambda value: not isinstance(value, str)),
       st.sampled_from(["", "\n", "\nmore", "\n[1]", "\x1b[00m", "\x1b[00m\n"]))  # fmt: skip
def test_a_literal_ends_where_it_ends(value, rest):
    text = str(value)
    read = parse_printed_at("return: " + text + rest, 8)
    assert read is not None
    assert read.end == 8 + len(text)


@given(values.filter(lambda value: not isinstance(value, str)),
       st.sampled_from([" more", "]", ",", "x", ".", " 1"]))  # fmt: skip
def test_what_does_not_fill_its_line_is_no_literal(value, rest):
    assert parse_printed_at(str(value) + rest, 0) is None


@given(st.text(st.sampled_from("[](){},:'\"\\ \nb0123456789.eE+-_naifTruNoesxu")))
def test_no_text_breaks_the_reader(text):
    read = parse_literal(text)
    assert read is None or not text[read.end :].strip()


READ = [
    ("None", None),
    ("True", True),
    ("inf", math.inf),
    ("-inf", -math.inf),
    ("nan", math.nan),
    ("-0.0", -0.0),
    ("1e+16", 1e16),
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
    (r'{"\udc00": [1, "\u00e9"]}', {"\\udc00": [1, "é"]}),
    ("b'abc'", "abc"),
    (r"[b'\xff\x00']", ["b'\\xff\\x00'"]),
    (r"b'\xc3\xa9'", "é"),
    ('{"a": [true, false, NaN, Infinity, -Infinity, null]}',
     {"a": [True, False, math.nan, math.inf, -math.inf, None]}),
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
    ("[" * MAX_LITERAL_DEPTH + "]" * MAX_LITERAL_DEPTH, ...),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), READ, ids=[text[:40] for text, _ in READ])
def test_a_literal_is_read(text, value):
    read = parse_literal(text)
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
    # What neither Python nor JSON writes: it can only be a part of a text.
    *("12E4", "1.10", "0.50", "1E400", "-0", "1.", "true", "null", "NaN", "Infinity", '"A"', "1e5"),
    *("{'a': true}", "[1.10, 'a']", "['a','b']", "(1,2)", "{1:2}", "[ 'a']", "['a', \"b\"]"),
    *("{null: 1}", r"'\/'", r"'\101'", r"['\'']", "[1, 2.]", "['a',  'b']", "[1, True]x"),
    *("[, dtype=x]", ", dtype=x", "[1, dtype=x]", "1" * 5000, "[" + "1" * 5000 + "]"),
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_READ, ids=[text[:40] for text in NOT_READ])
def test_what_is_no_literal_is_left_alone(text):
    assert parse_literal(text) is None


@pytest.mark.parametrize("opener", ["[", "(", "{'a':", "set(", "[(", '{"a":['])
def test_what_is_nested_too_deeply_is_not_read(opener):
    assert parse_literal(opener * 3_000_000) is None
    closed = {"[": "]", "(": ",)", "{": "}", "s": ")"}
    deep = opener * (MAX_LITERAL_DEPTH + 1) + "1"
    deep += "".join(closed.get(sign, "") for sign in reversed(opener)) * (MAX_LITERAL_DEPTH + 1)
    assert parse_literal(deep) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "[" + "1," * 6_000_000 + "1]",
        "[" + "1 " * 500_000 + "1-]",
        "[" + "(1, 'a'), " * MAX_REPR_TOKENS + "1]",
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
        "words",
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
    assert parse_literal(text) is None


@pytest.mark.slow
def test_text_beyond_the_limit_is_not_read():
    assert parse_literal("[" + " " * MAX_LITERAL_CHARS + "]") is None


def test_bytes_are_kept_as_bytes_too_where_they_are_all_there_is():
    assert parse_literal(r"b'\x89PNG'") == ParsedLiteral(r"b'\x89PNG'", 10, b"\x89PNG")
    assert parse_literal(r"[b'\x89PNG']") == ParsedLiteral([r"b'\x89PNG'"], 12)


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
    after, changed = parse_nested_json(value)
    assert same(after, unfolded)
    assert changed == (before != repr(unfolded))


EXACT = [("5", 5), ("-3", -3), ("0.5", 0.5), ("-1e-07", -1e-07), ("1e+16", 1e16), ("-0.0", -0.0),
         ("None", None), ("True", True), ("False", False), ("nan", math.nan), ("inf", math.inf),
         ("-inf", -math.inf), (str(10**30), 10**30)]  # fmt: skip
TEXTS = [*("12E4", "1.10", "-0", "+1", "1_000", "0x10", "(1)", "true", "null", "NaN", "Infinity"),
         *('"A"', "'A'", "007", " 5", "5 ", "5\n", "1E400", "1e400", "0.50", ".5", "5.", "1,5"),
         *("np.float64(0.5)", "array([1])", "-nan", "٣", "1 2", "", "none", "nan ")]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), EXACT)
def test_a_number_or_constant_is_one_as_str_prints_it(text, value):
    read = parse_printed(text)
    assert read is not None
    assert same(read.value, value)
    assert parse_returned_text(text) == (text, False)  # JSON says that it is a text


@pytest.mark.parametrize("text", TEXTS)
def test_what_str_never_prints_of_a_value_stays_a_text(text):
    assert parse_printed(text) is None
    assert parse_returned_text(text) == (text, False)


@given(st.text(max_size=12) | st.from_regex(r"[-+]?[0-9._eExX]{1,8}", fullmatch=True))
def test_a_scalar_is_read_only_if_it_is_spelled_like_its_repr(text):
    read = parse_printed(text)
    if read is not None and read.is_scalar:
        assert repr(read.value) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, 'a']", [1, "a"]),
        ("(1, 2)", [1, 2]),
        ("{'a': None}", {"a": None}),
        ("set()", []),
        ("[0.1 0.2]", [0.1, 0.2]),
        ("[1,2]", [1, 2]),
        (' {"a":\n1}\n', {"a": 1}),
    ],
)
def test_a_text_that_looks_like_a_container_is_data(text, value):
    assert parse_returned_text(text) == (value, True)


@pytest.mark.parametrize("text", ["['a','b']", " ['a']", "['a']\n", "b'x'", "array([1])", "[INFO]"])
def test_a_text_that_only_resembles_one_stays_a_text(text):
    assert parse_returned_text(text) == (text, False)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("{'a': 1, 'b': \"it's\", 'c': None}", {"a": 1, "b": "it's", "c": None}),
        ("(1, -2.5)", [1, -2.5]),
        ("'a, None, b'", "a, None, b"),
        ("[1.5, 2]", [1.5, 2]),
        ("{'a': np.float64(0.5), 'b': nan}", {"a": 0.5, "b": math.nan}),
        ("np.float32(1e-05)", 1e-05),
        (r"'line\n\x00\u2028\\'", "line\n\x00\u2028\\"),
        ("'say \"hi\"'", 'say "hi"'),
        ("-inf", -math.inf),
        ("{}", {}),
        ("[]", []),
    ],
)
def test_what_models_mostly_return_is_read_the_quick_way(part, value):
    """Where the slow one needs some microseconds a word."""
    for many in (1, 3):
        assert same(parse_simple_repr("[" + ", ".join([part] * many) + "]"), [value] * many)
    assert same(parse_simple_repr("{'k': " + part + "}"), {"k": value})
