"""What the module in `tests/deepaas` is asked, and what a client of the platform should read.

Each expectation is written by hand from what the module does (`bi_probe/answers.py`) and from what
DEEPaaS and the service script make of that; nothing here is made by the reader it judges. One table
for the runs against the real DEEPaaS and for the answers that were captured from it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from batchinfer.domain import JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE, Failure, Outcome, Reply

ALL = ("2.5.1", "2.5.2", "2.6.0")
OLD = "2.5.1"
SYNC, ASYNC = "sync", "async"


@dataclass(frozen=True)
class Data:
    """Read as data, equal to this (not-a-number equal to itself)."""

    value: object


@dataclass(frozen=True)
class Text:
    """Kept as text, exactly this."""

    text: str


@dataclass(frozen=True)
class Like:
    """Kept as text, all of which this regular expression describes."""

    pattern: str


@dataclass(frozen=True)
class Bytes:
    """A file."""

    media_type: str
    data: bytes


@dataclass(frozen=True)
class Fails:
    """No prediction: the failure's code, and what its message says."""

    code: str
    says: str = ""


Expectation = Data | Text | Like | Bytes | Fails


@dataclass(frozen=True)
class Case:
    """One question."""

    name: str
    sync: Expectation
    later: Expectation
    """In async mode."""
    params: Mapping[str, object]
    files: Mapping[str, str] = field(default_factory=dict)
    """Parameter to the name of a file in `FILES`."""
    but: Mapping[tuple[str, str], Expectation] = field(default_factory=dict)
    """(mode, version): what only that version does."""
    careless: bool = False
    """The request is at fault, and the model's help tells: batchinfer sends it only when told."""
    raw: bool = False
    """batchinfer sends no such thing at all, or spells it right."""
    captured: bool = True

    def expected(self, mode: str, version: str) -> Expectation:
        return self.but.get((mode, version), self.sync if mode == SYNC else self.later)


PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0"
    b"\x02\0\x01H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82"
)
WAV = (
    b"RIFF,\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x08\0\0\0"
    + (b"\x80" * 8)
)
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(range(256)) * 40
FILES = {"a picture.png": PNG, "sound.wav": WAV, "film.001.mp4": MP4}

BEAR = {"name": "bear", "class": 21, "confidence": 0.93346, "box": {"x1": 109.39322, "y1": 26.4}}
RECORD = "2026-01-02 03:04:05.678 99 INFO camera [-] shutter"
KILLED = Fails("model_killed", "killed because it needed more memory")


def case(mode, sync, later=None, *, name=None, old=None, but=None, params=None, **more):
    """`old`: what a sync call of DEEPaaS 2.5.1 gives, where that differs."""
    given = {"mode": mode, **(params or {})}
    exceptions = {(SYNC, OLD): old} if old else {}
    return Case(name or mode, sync, later or sync, given, but={**exceptions, **(but or {})}, **more)


def says(mode, text, **more):
    """The module returns a text: it is text in both modes."""
    return case(mode, Text(text), **more)


def refuses_to_save(mode, sync, kind, **more):
    """What JSON cannot hold: printed in sync mode, an error of the model in async mode."""
    why = f"TypeError: Object of type {kind} is not JSON serializable"
    return case(mode, sync, Fails("model_error", why), **more)


def raises(mode, message):
    return case(mode, Fails("model_error", message))


UNSEEN = KILLED
"""DEEPaaS 2.5.0 and 2.5.1 show neither None nor whole numbers in sync mode."""

VALUES = [
    case("dict", Data({"a": 1, "b": None, "c": True, "s": 'it\'s "q"\nnl', "f": 0.1})),
    case("list", Data([1, "two", 3.5, False, None])),
    case("nested", Data({"rows": [{"x": [1, 2.5, [-3e-07]], "y": {}}, []],
                         "": {"deep": [[[[["end"]]]]]}})),
    case("empty_dict", Data({})),
    case("empty_list", Data([])),
    case("none", Data(None), old=UNSEEN),
    case("true", Data(True), old=UNSEEN),
    case("false", Data(False), old=UNSEEN),
    case("int", Data(42), old=UNSEEN),
    case("big_int", Data([10**30])),
    case("float", Data(-1e-07)),
    case("nan", Data(math.nan)),
    case("not_numbers", Data({"x": math.nan, "y": math.inf, "z": [-math.inf]})),
    says("text", "a plain answer"),
    says("text_empty", "", old=UNSEEN),
    # A returned "42" and a returned 42 are printed alike; 2.5.1 prints no whole number.
    case("text_number", Data(42), Text("42"), old=Text("42")),
    says("text_zeros", "007"),
    says("text_lines", "first line\n\n  third line, indented\nlast line"),
    says("text_crlf", "one\r\ntwo\tend"),
    says("text_times", "2026-01-02 03:04:05 camera on\n2026-01-02 03:04:06.789 camera off\nend"),
    # Only 2.6.0 marks where a text ends: a whole log record inside one cannot be told from ours.
    says("text_record", f"before\n{RECORD}\nbehind", old=Text("behind"),
         but={(SYNC, "2.5.2"): Text("before")}),
    says("text_return", "first\nreturn: [1]\nINFO deepaas.cmd.cli [-] return: [2]\nlast"),
    says("text_error", "deepaas-cli: error: not really\nTraceback (most recent call last):\nE: no"),
    says("text_unicode", "Bär ☃ 𝄞 e\u0301 \u2028 end"),
    says("text_colours", "\x1b[31mred\x1b[0m or not", old=Text("red or not")),
    case("text_json", Data({"found": [BEAR, None]})),
    case("text_json_line", Data([{"name": "bear"}])),
    # Half a surrogate pair has no UTF-8 form: DEEPaaS cannot print it, and JSON escapes it.
    case("text_half_pair", Fails("model_error", "UnicodeEncodeError"),
         Text("half \\ud800 of a pair"), old=Text("half \\ud800 of a pair")),
    case("strings", Data(["it's", 'say "hi"', "back\\slash", "\0\x7f", f"{RECORD}\nreturn: [9]",
                          "☃", ""])),
    case("yolo_seed", Data([[BEAR]])),
    case("yolo_current", Data([[BEAR, BEAR], []])),
    case("keys", Data({"1": "one", "null": "none", "2.5": "float"})),
    case("tuple_keys", Data({"(0, 1)": "edge"}), Fails("model_error", "keys must be str, int")),
    case("tuple", Data([1, [2], []])),
    case("named", Text("Point(x=1, y=2.5)"), Data([1, 2.5])),
    case("ordered", Like(r"OrderedDict\(.*'a'.*1.*\)"), Data({"a": 1})),
    case("numpy_float", Data(0.25)),
    case("numpy_floats", Data({"score": 0.5, "all": [1.0]})),
]  # fmt: skip

OBJECTS = [
    refuses_to_save("set", Data(["only"]), "set"),
    refuses_to_save("set_empty", Data([]), "set"),
    refuses_to_save("frozenset", Data([[3]]), "frozenset"),
    refuses_to_save("bytes_text", Data("café"), "bytes"),
    refuses_to_save("bytes_png", Bytes("image/png", PNG), "bytes"),
    refuses_to_save("bytes_in_list", Data(["café", "b'\\xff\\xfe'"]), "bytes"),
    refuses_to_save("numpy_others", Data({"n": 3, "f": 0.5, "b": True}), "int64"),
    refuses_to_save("numpy_array", Data([[0.1, 0.2], [3.0, 40.5]]), "ndarray"),
    refuses_to_save("numpy_in_dict", Data({"boxes": [[1, 2], [3, 4]], "e": []}), "ndarray"),
    # numpy leaves out the middle of a long array: what is left is not the data.
    refuses_to_save("numpy_elided", Like(r"\{'all': array\(\[0\., .*\.\.\., .*\)\}"), "ndarray"),
    refuses_to_save("date", Text("{'at': datetime.date(2026, 1, 2)}"), "date"),
    refuses_to_save("unserialisable", Like(r"<object object at 0x[0-9a-f]+>"), "object"),
    refuses_to_save("unserialisable_inside",
                    Like(r"\{'image': <_io\.BytesIO object at 0x[0-9a-f]+>, 'n': 1\}"), "BytesIO"),
    refuses_to_save("png", Like(r"<_io\.BytesIO object at 0x[0-9a-f]+>"), "BytesIO",
                    name="png_unasked"),
    case("png", Like(r"<_io\.BytesIO object at 0x[0-9a-f]+>"), Bytes("image/png", PNG),
         params={"accept": "image/png"},
         but={(ASYNC, OLD): Fails("model_error", "'_io.BytesIO' object has no attribute 'name'")}),
    # DEEPaaS 2.5.2 and later say that they saved it, and save nothing.
    case("file_handle", Text("<_io.BufferedReader name='answer.png'>"), Fails("output_lost"),
         params={"accept": "image/png"}, but={(ASYNC, OLD): Bytes("image/png", PNG)}),
    case("huge", Data({"long": "x" * 5_000_000}), captured=False),
]  # fmt: skip

NOISE = [
    case("prints", Data({"answer": 1})),
    # 2.5.1 marks no value: of two that stand alone on a line nobody can say which was returned.
    case("prints_at_once", Data({"answer": 5}), old=Data({"not": "the answer"})),
    case("progress", Data({"answer": 2})),
    case("logs", Data({"answer": 3})),
    case("handled", Data({"answer": 4})),
]

DEATHS = [
    raises("raise_value", "ValueError: boom"),
    raises("raise_late", "RuntimeError: CUDA out of memory. Tried to allocate 2 GiB"),
    raises("raise_wrapped", "KeyError: 'bear' (the module reported it as aiohttp.web_exceptions."
                            "HTTPInternalServerError: something broke)"),
    raises("raise_hidden", "ValueError: boom"),
    raises("raise_key", "KeyError: 'bear'"),
    raises("raise_nothing", "AssertionError"),
    raises("raise_unicode", "ValueError: Bär ☃ return: [1]"),
    raises("raise_own", "bi_probe.answers.TooSad: {'why': ['no', 'reason']}"),
    case("exit_quietly", KILLED),
    case("exit_at_once", KILLED),
    case("killed", KILLED),
]  # fmt: skip


def _value(kind, value):
    return {"type": kind, "value": value}


def _file(name, suffix):
    data = FILES[name]
    sha256 = hashlib.sha256(data).hexdigest()
    return {"type": "UploadedFile", "suffix": suffix, "size": len(data), "sha256": sha256}


_DEFAULTS = {
    "mode": _value("str", "echo"),
    "text": _value("str", "a text"),
    "colour": _value("str", "red"),
    "number": _value("int", 1),
    "percent": _value("int", 50),
    "ratio": _value("float", 0.1),
    "flag": _value("bool", False),
    "options": _value("dict", {"a": 0}),
    "weights": _value("list", [0.1, 0.9]),
    "image": _value("NoneType", None),
    "audio": _value("NoneType", None),
    "video": _value("NoneType", None),
    "accept": _value("str", "application/json"),
}


def echo(name, params=None, files=None, *, but=None, careless=False, **arrived):
    """Every parameter as it arrived in the module: the defaults, but for those given."""
    changed = {each: _value(type(value).__name__, value) for each, value in arrived.items()}
    told = Data({**_DEFAULTS, **changed, **(but or {})})
    return case("echo", told, name=name, params=params or arrived, files=files or {},
                careless=careless)  # fmt: skip


ECHOES = [
    echo("echo_defaults"),
    echo(
        "echo_all",
        text='it\'s "q" — ☃ $HOME `x`\nline 2',
        colour="green",
        number=-7,
        percent=100,
        ratio=-1e-05,
        flag=True,
        options={"a": None, "b": [1, True, "x"], "c": {}},
        weights=[0.5, -1e-07, 2],
    ),
    echo("echo_limits", text="", number=10**20, ratio=1e300, percent=0, options={}, weights=[]),
    echo(
        "echo_image",
        files={"image": "a picture.png"},
        but={"image": _file("a picture.png", ".png")},
    ),
    echo(
        "echo_files",
        files={"image": "a picture.png", "audio": "sound.wav", "video": "film.001.mp4"},
        but={
            "image": _file("a picture.png", ".png"),
            "audio": _file("sound.wav", ".wav"),
            "video": _file("film.001.mp4", ".mp4"),
        },
    ),
    echo("echo_yes", {"flag": "Yes"}, flag=True),
    # Choices and ranges are not looked at by deepaas-cli; a misspelt truth is a falsehood.
    echo("echo_unchecked", colour="purple", percent=999, careless=True),
    echo("echo_misspelt", {"flag": "yess"}, flag=False, careless=True),
    echo("echo_abbreviated", {"num": 5}, number=5, careless=True),
]


def careless(name, code, message, **params):
    return Case(name, Fails(code, message), Fails(code, message), params, careless=True)


def raw(name, code, message, **params):
    return replace(careless(name, code, message, **params), raw=True)


MISTAKES = [
    careless("no_mode", "bad_param", "the following arguments are required: --mode", number=1),
    careless("unknown", "bad_param", "unrecognized arguments: --zzz 1", mode="dict", zzz=1),
    careless("bad_int", "bad_param", "--number: invalid int value: '1.0'", mode="dict", number=1.0),
    careless("bad_float", "bad_param", "invalid float value: 'x'", mode="dict", ratio="x"),
    careless("bad_list", "bad_param", "--weights: invalid literal_eval value: '[true]'",
             mode="dict", weights="[true]"),
    careless("broken_list", "bad_param", "'[' was never closed", mode="dict", weights="[1, 2"),
    raw("ambiguous", "bad_param", "ambiguous option: --conf could match", mode="dict", conf=1),
    raw("dashed", "bad_param", "--text: expected one argument", mode="dict", text="-x"),
    raw("help", "help", "leave the parameter 'help' out", help=""),
    raw("a_list", "bad_payload", "expected str instance, list found",
             mode="dict", weights=[1]),
]  # fmt: skip

CASES = {
    each.name: each
    for each in [*DEATHS[-3:], *VALUES, *OBJECTS, *NOISE, *DEATHS[:-3], *ECHOES, *MISTAKES]
}
"""Those first whose end is waited for."""


def agrees(outcome: Outcome, expected: Expectation) -> None:
    """Assert that what was read is what is expected."""
    match expected:
        case Data(value):
            assert isinstance(outcome, Reply), outcome
            assert outcome.media_type == JSON_MEDIA_TYPE
            assert same(outcome.prediction, value), outcome.prediction
        case Text(text):
            assert isinstance(outcome, Reply), outcome
            assert (outcome.media_type, outcome.prediction) == (TEXT_MEDIA_TYPE, text)
        case Like(pattern):
            assert isinstance(outcome, Reply), outcome
            assert outcome.media_type == TEXT_MEDIA_TYPE
            assert re.fullmatch(pattern, str(outcome.prediction), re.DOTALL), outcome.prediction
        case Bytes(media_type, data):
            assert isinstance(outcome, Reply), outcome
            assert (outcome.media_type, outcome.data) == (media_type, data)
        case Fails(code, says):
            assert isinstance(outcome, Failure), outcome
            assert outcome.code == code
            assert says in outcome.message


def same(value: object, other: object) -> bool:
    """Whether both are equal and of one type, not-a-number equal to itself."""
    match value, other:
        case dict(), dict():
            return value.keys() == other.keys() and all(same(value[k], other[k]) for k in value)
        case list(), list():
            return len(value) == len(other) and all(map(same, value, other))
        case float(), float() if math.isnan(value):
            return math.isnan(other)
    return type(value) is type(other) and value == other
