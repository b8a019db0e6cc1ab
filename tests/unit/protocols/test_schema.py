"""The model's help as argparse prints it: read whole, whatever stands around it."""

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.domain import Failure, Reply
from batchinfer.protocols.ai4os.help_parser import (
    MAX_HELP_CHARS,
    MAX_HELP_PARAMETERS,
    extract_help,
    parse_help,
)
from batchinfer.protocols.model_schema import ModelSchema, Parameter
from support.paths import FIXTURES

RECORDED = ("sync_2.5.2_help.body", "sync_2.6.0_help.body", "async_2.5.2_help.log")

MINIMOD = ModelSchema(
    (
        Parameter("mode", "str", "dict"),
        Parameter("files", "str", "None", is_file=True),
        Parameter("n", "int", "1"),
        Parameter("lst", "list", "None"),
        Parameter("dct", "dict", "None"),
        Parameter("conf", "float", "0.25"),
        Parameter("model", "str", "m"),
        Parameter("imgsz", "list", "[704, 512]"),
        Parameter("flag", "bool", "False"),
        Parameter("rng", "int", "50"),
        Parameter("accept", "str", "application/json"),
    )
)

TUTORIAL = """[...]
options:
-h, --help
        show this help message and exit
--files FILES
        Input an image or Video.
        accepted image formats: .bmo, .dng, .jpg, .jpeg, .mpo, .png, .tif, .tiff, .pfm, and .webp.
        accepted video formats: .asf, .avi, .gif, .m4v, .mkv,.mov, .mp4, .ts, .wmv, .webm
        Type: str (filepath)
        *Required*
[...]
"""


def options(*lines: str, usage: str = "usage: deepaas-cli predict [-h]") -> str:
    head = [usage, "", "options:", "  -h, --help", "          show this help message and exit"]
    return "\n".join([*head, *lines, "[*] Final command: deepaas-cli predict --help ", ""])


def only(*lines: str) -> Parameter:
    schema = parse_help(options(*lines))
    assert schema is not None
    (parameter,) = schema.parameters
    return parameter


def block(name: str, *lines: str) -> list[str]:
    return [f"  --{name} {name.upper()}", *(f"          {line}" for line in lines)]


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_help_is_read_whole(name):
    assert parse_help((FIXTURES / name).read_text()) == MINIMOD


@pytest.mark.parametrize(
    "path", sorted(FIXTURES.glob("captured/*/help.*")), ids=lambda path: "-".join(path.parts[-2:])
)
def test_what_the_real_deepaas_prints_is_the_same_in_all_versions_and_modes(path):
    schema = parse_help(path.read_text())
    assert schema is not None
    shown = {each.name: (each.type, each.default, each.is_file) for each in schema.parameters}
    assert shown == {
        "mode": ("str", None, False),
        "text": ("str", "a text", False),
        "colour": ("str", "red", False),
        "number": ("int", "1", False),
        "percent": ("int", "50", False),
        "ratio": ("float", "0.1", False),
        "flag": ("bool", "False", False),
        "options": ("dict", "{'a': 0}", False),
        "weights": ("list", "[0.1, 0.9]", False),
        "image": ("str", "None", True),
        "audio": ("str", "None", True),
        "video": ("str", "None", True),
        "accept": ("str", "application/json", False),
    }
    assert schema.names["mode"].required
    assert schema.names["mode"].help == "What to answer.\nOne of many ways, 100 % sure."
    assert schema.names["colour"].choices == ("red", "green")


def test_the_tutorials_help_is_read_although_its_usage_is_cut_off():
    schema = parse_help(TUTORIAL)
    assert schema is not None
    (files,) = schema.parameters
    assert (files.name, files.type, files.is_file, files.required) == ("files", "str", True, True)
    assert files.help.splitlines()[0] == "Input an image or Video."
    assert len(files.help.splitlines()) == 3


@pytest.mark.parametrize(
    "path",
    [path.name for path in FIXTURES.iterdir() if path.is_file() and path.name not in RECORDED],
)
def test_what_is_no_help_is_none(path):
    assert parse_help((FIXTURES / path).read_bytes().decode(errors="replace")) is None


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["  --n N   Type: int", "          Default: 1"], Parameter("n", "int", "1")),
        (
            block("kind", "Which.", "Type: str", "Default: a", "Choices: ['a', 'b']"),
            Parameter("kind", "str", "a", choices=("a", "b"), help="Which."),
        ),
        (  # as in DEEPaaS 2.3
            block("kind", "Which.", "Choices: [1, 2]", "Type: int", "*Required*"),
            Parameter("kind", "int", None, required=True, choices=(1, 2), help="Which."),
        ),
        (
            block("text", "Type: str", "Default: one", "two", "", "three", "Choices: ['x']"),
            Parameter("text", "str", "one\ntwo\n\nthree", choices=("x",)),
        ),
        (
            block("a", "Type: of animal", "Default: none", "", "Type: str", "Default: cat"),
            Parameter("a", "str", "cat", help="Type: of animal\nDefault: none"),
        ),
        (block("a", "Type: str", "Default: "), Parameter("a", "str", "")),
        (
            block("a", "Type: float", "Default: <marshmallow.missing>"),
            Parameter("a", "float", None),
        ),
        (block("a", "Type: str2bool"), Parameter("a", "bool")),
        (block("a", "Type: literal_eval"), Parameter("a", None)),
        (block("a", "*Required*"), Parameter("a", None, required=True)),
        (
            block("a", "Type: str (WARNING: original type fields.Field)", "Default: None"),
            Parameter("a", "str", "None"),
        ),
        (["  --mode {cat,big dog}"], Parameter("mode", choices=("cat", "big dog"))),
        (["  -m M, --mode M", "          Type: str"], Parameter("mode", "str")),
        (["  --xs [XS ...]", "          Which."], Parameter("xs", help="Which.")),
        (["  --verbose  Say more."], Parameter("verbose", help="Say more.")),
        (["", "required arguments:", *block("a", "Type: int")], Parameter("a", "int")),
        (
            block("a", "\x1b[1mType: int\x1b[0m", "Default: 3"),
            Parameter("a", "int", "3"),
        ),
        (block("a", "Type: str", "Choices: [1, __import__('os')]"), Parameter("a", "str")),
        (block("a", "Type: str", f"Choices: {list(range(1000))}"), Parameter("a", "str")),
        (
            block("a", "  --b B is meant, too", "Type: str"),
            Parameter("a", "str", help="--b B is meant, too"),
        ),
    ],
)
def test_one_parameter_is_read_as_it_is_meant(lines, expected):
    assert only(*lines) == expected


def test_what_stands_around_a_help_is_none_of_it():
    text = "/x.py:3: UserWarning: --old OLD\n" + options(*block("a", "Type: int", "Default: 1"))
    assert parse_help(text + "  --later L\n") == ModelSchema((Parameter("a", "int", "1"),))


def test_a_usage_that_ends_in_dots_takes_more_than_it_lists():
    closed, opened = "usage: deepaas-cli predict [-h]", "usage: deepaas-cli predict [-h] ..."
    assert parse_help(options(usage=closed)) == ModelSchema((), accepts_unlisted=False)
    assert parse_help(options(usage=opened)) == ModelSchema((), accepts_unlisted=True)


def test_a_prefix_of_one_option_stands_for_it():
    assert MINIMOD.expand_name("rng") == ["rng"]
    assert MINIMOD.expand_name("imgs") == ["imgsz"]
    assert MINIMOD.expand_name("mod") == ["mode", "model"]
    assert MINIMOD.expand_name("hel") == ["help"]
    assert MINIMOD.expand_name("nothing") == []


def test_too_long_and_too_many_are_bounded():
    lines = [line for at in range(2 * MAX_HELP_PARAMETERS) for line in block(f"a{at}", "Type: int")]
    schema = parse_help(options(*lines))
    assert schema is not None
    assert len(schema.parameters) == MAX_HELP_PARAMETERS
    assert parse_help(options(*block("a", "x" * MAX_HELP_CHARS))) is None


def test_an_answer_is_a_help_or_says_why_not():
    text = (FIXTURES / "sync_2.6.0_help.body").read_text()
    cold = Failure("cold_start", "not yet")
    assert extract_help(Failure("help", "", log=text)) == text
    assert extract_help(Failure("unreadable", "", log=TUTORIAL)) == TUTORIAL
    assert extract_help(cold) is cold
    prediction = extract_help(Reply(prediction=1, log="[*] Using DEEPaaS version 2.6.0"))
    assert isinstance(prediction, Failure)
    assert prediction.code == "no_help"


# Properties ---------------------------------------------------------------------------------------

OWN = ("Type: ", "Default:", "*Required*", "Choices: ")
LINE = st.text("abcXYZ 019.,:;%-{}[]()'\"é*\t", max_size=100).filter(
    lambda line: not line.strip().startswith(OWN)
)
TEXT = st.lists(LINE, max_size=4).map("\n".join)
NAME = st.from_regex(r"[a-z_][a-z0-9_]{0,30}", fullmatch=True).filter(lambda name: name != "help")
TYPES = {
    "str": "str",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "list": 'list, enclosed as string: "[...]"',
    "dict": 'dict, enclosed as string: "{...}"',
}


def plain(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines()).strip()


@st.composite
def parameters(draw) -> Parameter:
    required = draw(st.booleans())
    kind = draw(st.sampled_from([*TYPES]))
    return Parameter(
        name=draw(NAME),
        type=kind,
        default=None if required else plain(draw(TEXT)),
        required=required,
        choices=tuple(draw(st.lists(st.integers() | LINE, max_size=5))),
        is_file=kind == "str" and draw(st.booleans()),
        help=plain(draw(TEXT)),
    )


def printed(schema: ModelSchema, width: int) -> str:
    """What argparse makes of a schema, told in DEEPaaS's grammar."""
    parser = argparse.ArgumentParser(
        "deepaas-cli predict",
        formatter_class=lambda prog: argparse.RawTextHelpFormatter(
            prog, max_help_position=10, width=width
        ),
    )
    for each in schema.parameters:
        words = TYPES[each.type or "str"] + (" (filepath)" if each.is_file else "")
        lines = [each.help, f"Type: {words}"]
        lines.append("*Required*" if each.required else f"Default: {each.default}")
        if each.choices:
            lines.append(f"Choices: {list(each.choices)}")
        text = "\n".join(lines).lstrip("\n").replace("%", "%%")
        parser.add_argument(f"--{each.name}", help=text, required=each.required)
    return parser.format_help()


@pytest.mark.slow
@given(
    st.lists(parameters(), max_size=6, unique_by=lambda each: each.name),
    st.integers(40, 200),
    TEXT,
)
def test_whatever_argparse_prints_is_read_back(listed, width, noise):
    schema = ModelSchema(tuple(listed))
    assert parse_help(f"{noise}\n{printed(schema, width)}[*] Final command: x\n") == schema


@given(st.text())
def test_no_text_raises(text):
    parse_help(text)
    parse_help(f"usage: x\n\n  -h, --help\n{text}")


@given(st.lists(st.sampled_from([*"-h{}[],.: \nA", "  --a", "Type: int", "-h, --help", "\x1b["])))
def test_no_heap_of_its_own_words_raises(words):
    parse_help("".join(words))
    parse_help("-h, --help\n" + "".join(words))
