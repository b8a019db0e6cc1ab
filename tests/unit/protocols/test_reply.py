"""Every answer of the platform, read: fixtures of real runs, hand-made ones, and any value."""

import base64
import io
import json
import math
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.domain import JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE, Failure, FailureKind, Reply
from batchinfer.protocols.ai4os.reply_parser import (
    SavedOutput,
    extract_orphan_name,
    killed_log_failure,
    parse_body,
    parse_log,
    parse_output,
)
from batchinfer.protocols.ai4os.transcript_failures import is_help_output
from support.deepaas_answers import (
    RESET,
    STAMP,
    containers,
    crashed,
    data,
    noise,
    record,
    sync_body,
    values,
)
from support.paths import FIXTURES

VERSIONS = ["2.5.0", "2.5.1", "2.5.2", "2.6.0"]
MARKED = ["2.5.2", "2.6.0"]
BARE = ["2.5.0", "2.5.1"]

DICT = {"a": 1, "b": None, "c": True, "s": 'it\'s "q"\nnl', "f": 0.1}
SEED = [[{"name": "bear", "class": 21}]]
CURRENT = [[{"name": "bear", "class": 21, "box": {"x1": 1.5}}]]
NANS = {"x": math.nan, "y": math.inf}
PNG = b"\x89PNG\r\n\x1a\nfake"


def summary(outcome):
    """What a table of expectations holds of an outcome."""
    match outcome:
        case Failure():
            return (outcome.code, outcome.kind)
        case Reply(data=bytes()):
            return (outcome.media_type, outcome.data)
        case Reply():
            return (outcome.media_type, outcome.prediction)
        case SavedOutput():
            return ("saved", extract_orphan_name(outcome.path), outcome.is_orphan)
        case None:
            return None


PERMANENT, TRANSIENT = FailureKind.PERMANENT, FailureKind.TRANSIENT
REAL = {
    "sync_2.5.1_fail_exception.body": ("model_error", PERMANENT),
    "sync_2.5.1_ok_dict.body": (JSON_MEDIA_TYPE, DICT),
    "sync_2.5.2_fail_bad_param_type.body": ("bad_param", PERMANENT),
    "sync_2.5.2_fail_exception.body": ("model_error", PERMANENT),
    "sync_2.5.2_fail_killed.body": ("model_killed", TRANSIENT),
    "sync_2.5.2_help.body": ("help", PERMANENT),
    "sync_2.5.2_ok_bytesio_png.body": (TEXT_MEDIA_TYPE, "<_io.BytesIO object at 0x7ff254de96c0>"),
    "sync_2.5.2_ok_dict.body": (JSON_MEDIA_TYPE, DICT),
    "sync_2.5.2_ok_none.body": (JSON_MEDIA_TYPE, None),
    "sync_2.5.2_ok_yolo_current_format.body": (JSON_MEDIA_TYPE, CURRENT),
    "sync_2.5.2_ok_yolo_seed_format.body": (JSON_MEDIA_TYPE, SEED),
    "sync_2.6.0_fail_exception.body": ("model_error", PERMANENT),
    "sync_2.6.0_fail_unknown_param.body": ("bad_param", PERMANENT),
    "sync_2.6.0_help.body": ("help", PERMANENT),
    "sync_2.6.0_ok_dict.body": (JSON_MEDIA_TYPE, DICT),
    "sync_2.6.0_ok_nan.body": (JSON_MEDIA_TYPE, NANS),
    "sync_2.6.0_ok_yolo_seed_format.body": (JSON_MEDIA_TYPE, SEED),
    "async_2.5.1_fail_exception.log": ("model_error", PERMANENT),
    "async_2.5.1_ok_dict.log": ("saved", "tmp-file-fwjlw.json", False),
    "async_2.5.1_ok_dict.json": (JSON_MEDIA_TYPE, DICT),
    "async_2.5.2_fail_bad_param_type.log": ("bad_param", PERMANENT),
    "async_2.5.2_fail_exception.log": ("model_error", PERMANENT),
    "async_2.5.2_fail_killed.log": None,
    "async_2.5.2_help.log": ("help", PERMANENT),
    "async_2.5.2_ok_bytesio_png.json": ("image/png", PNG),
    "async_2.5.2_ok_bytesio_png.log": ("saved", "tmp-file-ctplh.png", False),
    "async_2.5.2_ok_dict.json": (JSON_MEDIA_TYPE, DICT),
    "async_2.5.2_ok_dict.log": ("saved", "tmp-file-lhfag.json", False),
    "async_2.5.2_ok_none.json": (JSON_MEDIA_TYPE, None),
    "async_2.5.2_ok_none.log": ("saved", "tmp-file-qvehr.json", False),
    "async_2.5.2_ok_yolo_current_format.json": (JSON_MEDIA_TYPE, CURRENT),
    "async_2.5.2_ok_yolo_current_format.log": ("saved", "tmp-file-uszmp.json", False),
    "async_2.5.2_ok_yolo_seed_format.json": (JSON_MEDIA_TYPE, SEED),
    "async_2.5.2_ok_yolo_seed_format.log": ("saved", "tmp-file-fpged.json", False),
    "async_2.6.0_fail_exception.log": ("model_error", PERMANENT),
    "async_2.6.0_fail_unknown_param.log": ("bad_param", PERMANENT),
    "async_2.6.0_ok_dict.ORPHAN.tmp-file-nwtfa.json": (JSON_MEDIA_TYPE, DICT),
    "async_2.6.0_ok_dict.log": ("saved", "tmp-file-nwtfa.json", True),
    "async_2.6.0_ok_nan.ORPHAN.tmp-file-fcbvx.json": (JSON_MEDIA_TYPE, NANS),
    "async_2.6.0_ok_nan.log": ("saved", "tmp-file-fcbvx.json", True),
    "async_2.6.0_ok_yolo_seed_format.ORPHAN.tmp-file-meinf.json": (JSON_MEDIA_TYPE, SEED),
    "async_2.6.0_ok_yolo_seed_format.log": ("saved", "tmp-file-meinf.json", True),
}
MESSAGES = {
    "fail_exception": "ValueError: boom",
    "fail_bad_param_type": "argument --rng: invalid int value: 'abc'",
    "fail_unknown_param": "unrecognized arguments: --zzz 1",
}


def test_the_table_of_fixtures_is_whole():
    assert {
        path.name for path in FIXTURES.iterdir() if path.is_file() and path.suffix != ".md"
    } == set(REAL)


@pytest.mark.parametrize("name", REAL)
def test_a_fixture_is_classified(name):
    content = (FIXTURES / name).read_bytes()
    readers = {
        "body": parse_body,
        "log": parse_log,
        "json": lambda output: parse_output(output, ""),
    }
    outcome = readers[name.rpartition(".")[2]](content)
    assert repr(summary(outcome)) == repr(REAL[name])
    if isinstance(outcome, Failure):
        case = name.rpartition(".")[0].split("_", 2)[2]
        assert MESSAGES.get(case, "") in outcome.message
    if isinstance(outcome, (Reply, Failure)) and not name.endswith(".json"):
        assert outcome.log == content.decode().replace(RESET, "")


@given(values.filter(lambda value: not isinstance(value, str)), st.sampled_from(MARKED), noise,
       noise, st.sampled_from(["", "100%|##########| 2/2 [00:02<00:00,  1.00s/it]"]))  # fmt: skip
def test_any_returned_value_is_read_from_a_body(value, version, before, after, bar):
    body = sync_body(str(value), version, before=before, after=after, bar=bar)
    outcome = parse_body(body)
    assert repr(summary(outcome)) == repr((JSON_MEDIA_TYPE, data(value)))


@given(containers | st.floats(), st.sampled_from(BARE), noise, noise)
def test_any_printed_value_is_read_from_a_body_without_marks(value, version, before, after):
    outcome = parse_body(sync_body(str(value), version, before=before, after=after))
    assert repr(summary(outcome)) == repr((JSON_MEDIA_TYPE, data(value)))


@given(values.filter(lambda value: not isinstance(value, str)), noise)
def test_any_saved_value_is_read_from_an_output(value, lines):
    log = "\n".join(lines)
    outcome = parse_output(json.dumps(value).encode(), log)
    expected = data(json.loads(json.dumps(value)))
    assert repr(summary(outcome)) == repr((JSON_MEDIA_TYPE, expected))
    assert outcome.log.startswith(log)


words = st.text(st.characters(codec="utf-8", categories=["L", "Zs", "P"]), min_size=1)


@given(st.lists(words, min_size=1, max_size=4).map(lambda lines: "w " + "\n".join(lines)))
def test_any_returned_text_is_read_exactly_where_deepaas_marks_its_end(text):
    outcome = parse_body(sync_body(text, "2.6.0", after=["a plain print"]))
    assert summary(outcome) == (TEXT_MEDIA_TYPE, text)


@given(st.lists(words, min_size=1, max_size=4).map(lambda lines: "w " + "\n".join(lines)))
def test_any_returned_text_is_read_up_to_the_lines_of_the_script(text):
    assert summary(parse_body(sync_body(text, "2.5.2"))) == (TEXT_MEDIA_TYPE, text)


@given(st.binary(max_size=300))
def test_no_bytes_break_a_reader(content):
    assert isinstance(parse_body(content), (Reply, Failure))
    assert isinstance(parse_log(content), (SavedOutput, Failure, type(None)))
    assert isinstance(parse_output(content, ""), (Reply, Failure))


LINES = (
    "first\n2026-11-23 07:35:30 camera 1\n[INFO] return: 5\nreturn: [1]\n"
    "INFO deepaas.cmd.cli [-] return: x\nlast"
)
INSIDE = "a\n" + record("return: 5", "2.5.2") + "b"
PRINTED = [
    # what the model returned, printed; versions; what it is
    ("hello", VERSIONS, (TEXT_MEDIA_TYPE, "hello")),
    ("", MARKED, (TEXT_MEDIA_TYPE, "")),
    (LINES, VERSIONS, (TEXT_MEDIA_TYPE, LINES)),
    (INSIDE, ["2.6.0"], (TEXT_MEDIA_TYPE, INSIDE)),
    (f"a\n{STAMP}INFO x [-] y\nb", ["2.6.0"], (TEXT_MEDIA_TYPE, f"a\n{STAMP}INFO x [-] y\nb")),
    (f"a\n{STAMP}INFO x [-] y\nb", ["2.5.2"], (TEXT_MEDIA_TYPE, "a")),
    (f"see {STAMP}INFO x [-] y there", MARKED, (TEXT_MEDIA_TYPE, f"see {STAMP}INFO x [-] y there")),
    (repr([INSIDE, "b"]), VERSIONS, (JSON_MEDIA_TYPE, [INSIDE, "b"])),
    (repr({"log": record("return: [", "2.5.2")}), VERSIONS,
     (JSON_MEDIA_TYPE, {"log": record("return: [", "2.5.2")})),
    ("007", VERSIONS, (TEXT_MEDIA_TYPE, "007")),
    ("0.5", VERSIONS, (JSON_MEDIA_TYPE, 0.5)),
    ("5", MARKED, (JSON_MEDIA_TYPE, 5)),
    ("None", MARKED, (JSON_MEDIA_TYPE, None)),
    ("nan", VERSIONS, (JSON_MEDIA_TYPE, math.nan)),
    ("set()", VERSIONS, (JSON_MEDIA_TYPE, [])),
    ("{'a', 'a'}", VERSIONS, (JSON_MEDIA_TYPE, ["a", "a"])),
    (repr([f"{STAMP}CRITICAL deepaas-cli [-] Unhandled error: x"]), VERSIONS,
     (JSON_MEDIA_TYPE, [f"{STAMP}CRITICAL deepaas-cli [-] Unhandled error: x"])),
    (repr(record("[INFO, Method] predict was called.", "2.5.1").split()), VERSIONS,
     (JSON_MEDIA_TYPE, record("[INFO, Method] predict was called.", "2.5.1").split())),
    ("(1, (2,), ())", VERSIONS, (JSON_MEDIA_TYPE, [1, [2], []])),
    ("{'score': np.float64(0.5), 'n': np.int64(3)}", VERSIONS,
      (JSON_MEDIA_TYPE, {"score": 0.5, "n": 3})),
    ("[array([[1., 2.],\n       [3., 4.]], dtype=float32)]", VERSIONS,
      (JSON_MEDIA_TYPE, [[[1, 2], [3, 4]]])),
    ("[[0.1 0.2]\n [0.3 0.4]]", VERSIONS, (JSON_MEDIA_TYPE, [[0.1, 0.2], [0.3, 0.4]])),
    ("array([0, 1, ..., 8, 9])", MARKED, (TEXT_MEDIA_TYPE, "array([0, 1, ..., 8, 9])")),
    ("b'caf\\xc3\\xa9'", VERSIONS, (JSON_MEDIA_TYPE, "café")),
    (str(PNG), VERSIONS, ("image/png", PNG)),
    ("b'\\xff\\x00'", VERSIONS, ("application/octet-stream", b"\xff\x00")),
    (json.dumps({"a": [1, None]}, indent=2), VERSIONS, (JSON_MEDIA_TYPE, {"a": [1, None]})),
    ('{"a": Infinity, "b": true}', VERSIONS, (JSON_MEDIA_TYPE, {"a": math.inf, "b": True})),
    (str([json.dumps(SEED[0])]), VERSIONS, (JSON_MEDIA_TYPE, SEED)),
    (str({"a": json.dumps({"b": json.dumps([1])})}), VERSIONS,
     (JSON_MEDIA_TYPE, {"a": {"b": "[1]"}})),
    ("OrderedDict({'a': 1})", VERSIONS, (TEXT_MEDIA_TYPE, "OrderedDict({'a': 1})")),
    ("{'t': datetime.datetime(2026, 1, 1)}", VERSIONS,
     (TEXT_MEDIA_TYPE, "{'t': datetime.datetime(2026, 1, 1)}")),
    ("<_io.BytesIO object at 0x7f>", VERSIONS, (TEXT_MEDIA_TYPE, "<_io.BytesIO object at 0x7f>")),
    ("[" * 5000, VERSIONS, (TEXT_MEDIA_TYPE, "[" * 5000)),
    ("{'a': '" + "x" * 200_000 + "'}", VERSIONS, (JSON_MEDIA_TYPE, {"a": "x" * 200_000})),
]  # fmt: skip


@pytest.mark.parametrize(
    ("printed", "version", "expected"),
    [(printed, version, want) for printed, versions, want in PRINTED for version in versions],
    ids=[f"{v}-{p[:30]}" for p, versions, _ in PRINTED for v in versions],
)
def test_what_a_model_returns(printed, version, expected):
    outcome = parse_body(sync_body(printed, version))
    assert summary(outcome) == expected or math.isnan(outcome.prediction)
    assert printed[:1000] in outcome.log


def started(version="2.5.2"):
    called = "[INFO, Method] predict was called." if version < "2.5.2" else "predict was called."
    return f"[*] Using DEEPaaS version {version}\n" + record(called, version)


COMMAND = "[*] Final command: deepaas-cli predict --mode x\n"
TRACE = 'Traceback (most recent call last):\n  File "{}", line 70, in <module>\n    f(x)\n'
USAGE = "[*] Using DEEPaaS version 2.5.2\nusage: deepaas-cli [-h]\ndeepaas-cli: error: "
BODIES = {
    "the last return counts": (
        started() + record("return: [1]", "2.5.2") + record("return: [2]", "2.5.2") + COMMAND,
        (JSON_MEDIA_TYPE, [2]),
    ),
    "a progress bar before the mark": (
        started() + " 90%|###  | 9/10" + record("return: [1]", "2.5.2") + COMMAND,
        (JSON_MEDIA_TYPE, [1]),
    ),
    "output held back comes behind the value": (
        started() + record("return: [1]", "2.5.2") + "[2]\nreturn: [3]\n" + COMMAND,
        (JSON_MEDIA_TYPE, [1]),
    ),
    "a record behind a returned text": (
        started() + record("return: hello", "2.5.2") + record("bye", "2.5.2", "WARNING") + COMMAND,
        (TEXT_MEDIA_TYPE, "hello"),
    ),
    "a progress bar and a record behind a returned text": (
        started() + record("return: hello", "2.5.2") + "9%|#|" + record("bye", "2.5.2") + COMMAND,
        (TEXT_MEDIA_TYPE, "hello"),
    ),
    "the echo of a parameter that looks like a result": (
        started() + record("return: [1]", "2.5.2") + COMMAND[:-1] + "\n"
        + record("return: [666]", "2.5.2"),
        (JSON_MEDIA_TYPE, [1]),
    ),
    "the echo of a parameter that looks like a result, of a killed model": (
        started() + COMMAND[:-1] + "\n" + record("return: [666]", "2.5.2"),
        ("model_killed", TRANSIENT),
    ),
    "a service that writes at once": (
        "[*] Using DEEPaaS version 2.5.2\nwarning: old\n" + COMMAND
        + record("predict was called.", "2.5.2") + record("return: [1]", "2.5.2"),
        (JSON_MEDIA_TYPE, [1]),
    ),
    "a service that writes at once, 2.5.1": (
        "[*] Using DEEPaaS version 2.5.1\nwarning: old\n" + COMMAND
        + record("[INFO, Method] predict was called.", "2.5.1") + "[1]\n(480, 640)\n[2]\n",
        (JSON_MEDIA_TYPE, [2]),
    ),
    "no trailing lines at all": (started() + record("return: "
        "[1]", "2.5.2"), (JSON_MEDIA_TYPE, [1])),
    "no trailing newline": (started() + record("return: "
        "[1]", "2.5.2")[:-1], (JSON_MEDIA_TYPE, [1])),
    "other colours in 2.5.2": (
        started() + "\x1b[34m\x1b[1mimage 1\x1b[0m\n" + record("return: [1]", "2.5.2") + COMMAND,
        (JSON_MEDIA_TYPE, [1]),
    ),
    "2.5.1: output held back comes behind the value": (
        started("2.5.1") + "{'a': 1}\n(480, 640, 3)\n[7]\n" + COMMAND,
        (JSON_MEDIA_TYPE, {"a": 1}),
    ),
    "2.5.1: output, then a record, then the value": (
        started("2.5.1") + "[7]\n" + record("x", "2.5.1") + "{'a': 1}\n" + COMMAND,
        (JSON_MEDIA_TYPE, {"a": 1}),
    ),
    "2.5.1: the value, then a record": (
        started("2.5.1") + "{'a': 1}\n" + record("bye", "2.5.1") + COMMAND,
        (JSON_MEDIA_TYPE, {"a": 1}),
    ),
    "2.5.1: a number among output": (
        started("2.5.1") + "a print\n0.5\n" + COMMAND,
        (JSON_MEDIA_TYPE, 0.5),
    ),
    "2.5.1: killed": (
        started("2.5.1") + "a print\n" + record("x", "2.5.1", "WARNING", "m") + COMMAND,
        ("model_killed", TRANSIENT),
    ),
    "2.5.1: killed behind a progress bar": (
        started("2.5.1") + " 50%|###   | 1/2\nx.py:1: UserWarning: old\n" + COMMAND,
        ("model_killed", TRANSIENT),
    ),
    "2.5.1: a list behind a progress bar": (
        started("2.5.1") + " 50%|##  | 1/2 [00:01<00:01,  1.00s/it][7]\n" + COMMAND,
        (JSON_MEDIA_TYPE, [7]),
    ),
    "2.5.1: a text behind a progress bar": (
        started("2.5.1") + "\r100%|####| 2/2 [00:01<00:00,  1.00it/s]hello\nyou\n" + COMMAND,
        (TEXT_MEDIA_TYPE, "hello\nyou"),
    ),
    "2.5.1: a number behind a progress bar": (
        started("2.5.1") + "\r100%|####| 2/2 [00:01<00:00,  1.00it/s]0.5\n" + COMMAND,
        (JSON_MEDIA_TYPE, 0.5),
    ),
    "killed before the model was called": (
        "[*] Using DEEPaaS version 2.5.2\nevent-file-1\n" + COMMAND, ("model_killed", TRANSIENT)
    ),
    "killed with a traceback that was caught": (
        started() + TRACE.format("m.py") + "OSError: x\n" + COMMAND, ("model_killed", TRANSIENT)
    ),
    "too old": (
        "Error: DEEPaaS version must be >=2.5.0. Current version is: 1.3.0\n",
        ("deepaas_too_old", PERMANENT),
    ),
    "no DEEPaaS": (
        "[*] Using DEEPaaS version \nevent-file-1\n" + TRACE.format("<stdin>")
        + "FileNotFoundError: [Errno 2] No such file or directory: 'deepaas-cli'\n",
        ("deepaas_too_old", PERMANENT),
    ),
    "a payload without key": (
        "[*] Using DEEPaaS version 2.5.2\nevent-file-1\n" + TRACE.format("<stdin>")
        + "KeyError: 'key'\n[*] Processing file:  tmp-file-abcde.jpg\n",
        ("bad_payload", PERMANENT),
    ),
    "a list as a parameter": (
        TRACE.format("<stdin>") + "TypeError: sequence item 3: expected str instance, list found\n",
        ("bad_payload", PERMANENT),
    ),
    "a command line that is too long": (
        "[*] Using DEEPaaS version 2.5.2\n" + COMMAND
        + "Something went wrong during the execution.\n",
        ("bad_payload", PERMANENT),
    ),
    "a name that is ambiguous": (
        USAGE + "ambiguous option: --conf could match --config-dir, --config-file\n",
        ("bad_param", PERMANENT),
    ),
    "a module that cannot be imported": (
        "[*] Using DEEPaaS version 2.5.2\n" + TRACE.format("/usr/bin/deepaas-cli")
        + "ModuleNotFoundError: No module named 'torch'\n" + COMMAND,
        ("model_error", PERMANENT),
    ),
    "no model": (
        "[*] Using DEEPaaS version 2.5.2\n[ERROR]: The model x is not available.\n"
        "Available models: []\n" + COMMAND,
        ("model_error", PERMANENT),
    ),
    "an error behind a value": (
        started() + record("return: [1]", "2.5.2") + crashed("2.5.2", ["E: x"]).decode(),
        ("model_error", PERMANENT),
    ),
    "an error inside a returned text of 2.6.0": (
        started("2.6.0") + record(f"return: a\n{STAMP}CRITICAL deepaas-cli [-] Unhandled error: E",
                                  "2.6.0") + COMMAND,
        (TEXT_MEDIA_TYPE, f"a\n{STAMP}CRITICAL deepaas-cli [-] Unhandled error: E"),
    ),
    "nothing": ("", ("unreadable", TRANSIENT)),
    "a web page": ("<html><body>Log in</body></html>", ("unreadable", TRANSIENT)),
    "one word": ("done", ("unreadable", TRANSIENT)),
    "bytes that are no text": (b"\xff\xfe\x00", ("unreadable", TRANSIENT)),
    "a broken character in the log": (
        started().encode() + b"\xff\xfe\n" + record("return: "
            "[1]", "2.5.2").encode(), (JSON_MEDIA_TYPE, [1])
    ),
    "base64 of an image": (base64.b64encode(PNG) + b"\n", ("image/png", PNG)),
    "base64 of JSON": (base64.b64encode(b'{"a": 1}'), (JSON_MEDIA_TYPE, {"a": 1})),
    "base64 of text": (base64.b64encode(b"some words of a model"),
                       (TEXT_MEDIA_TYPE, "some words of a model")),
    "base64 of bytes": (
        base64.b64encode(b"\xfe" * 40), ("application/octet-stream", b"\xfe" * 40)
    ),
    "base64 in lines": (base64.encodebytes(PNG * 20), ("image/png", PNG * 20)),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
def test_a_body(case):
    body, expected = BODIES[case]
    assert summary(parse_body(body.encode() if isinstance(body, str) else body)) == expected


def test_a_zip_of_several_files_is_kept_as_bytes():
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as entries:
        entries.writestr("a.txt", "a")
    outcome = parse_body(base64.b64encode(archive.getvalue()))
    assert summary(outcome) == ("application/zip", archive.getvalue())


CAUSE = ["Traceback (most recent call last):", '  File "m.py", line 1, in predict', "    f()",
         "       ^", "RuntimeError: CUDA out of memory.", "Tried to allocate 2 GiB"]  # fmt: skip
HTTP = ["Traceback (most recent call last):", '  File "api.py", line 9, in predict',
        "    raise HTTPException(reason=err) from err",
        "aiohttp.web_exceptions.HTTPException: Internal Server Error"]  # fmt: skip
DIRECT = ["", "The above exception was the direct cause of the following exception:", ""]
DURING = ["", "During handling of the above exception, another exception occurred:", ""]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("joint", [DIRECT, DURING])
def test_the_message_of_a_model_error_begins_with_the_first_cause(version, joint):
    outcome = parse_body(crashed(version, CAUSE, joint, HTTP))
    assert summary(outcome) == ("model_error", PERMANENT)
    assert outcome.message == (
        "RuntimeError: CUDA out of memory. Tried to allocate 2 GiB (the module reported it as "
        "aiohttp.web_exceptions.HTTPException: Internal Server Error)"
    )


def test_a_model_error_without_traceback_is_what_the_record_says():
    body = started() + f"{STAMP}CRITICAL deepaas-cli [-] Unhandled error: KeyError: 'x'\n"
    assert parse_body(body.encode()).message == "KeyError: 'x'"


def test_a_message_is_one_line_and_not_too_long():
    long = [*CAUSE[:4], "ValueError: very long", *["very long"] * 10_000]
    message = parse_body(crashed("2.5.2", long)).message
    assert message.startswith("ValueError: very long very long")
    assert len(message) <= 1000
    assert "\n" not in message


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("too old", ["1.3.0", "2.5.0", "newer image"]),
        ("no DEEPaaS", ["no DEEPaaS", "newer image"]),
        ("a payload without key", ["KeyError: 'key'"]),
        ("a list as a parameter", ["TypeError: sequence item 3"]),
        ("a command line that is too long", ["too long"]),
        ("a name that is ambiguous", ["--conf", "leave the parameter out"]),
        ("a module that cannot be imported", ["cannot be loaded", "No module named 'torch'"]),
        ("no model", ["cannot be loaded", "The model x is not available"]),
        ("killed before the model was called", ["memory"]),
        ("2.5.1: killed", ["memory", "use async mode"]),
        ("a web page", ["<html><body>Log in", "endpoint"]),
        ("nothing", ["empty"]),
    ],
)
def test_a_failure_says_what_happened_and_what_to_do(case, words):
    message = parse_body(BODIES[case][0].encode()).message
    for word in words:
        assert word in message
    assert "\n" not in message


SAVED = f"{STAMP}INFO deepaas.cmd.cli [-] return: Output is saved in /tmp/t/tmp-file-abcde.json\n"
NEW = "===================> New output is /tmp/t/tmp-file-abcde.json\n"
WHERE = "Output will be saved on: /tmp/t/tmp-file-abcde\n"
CALLED = record("predict was called.", "2.5.2")
LOGS = {
    "saved": (CALLED + NEW + SAVED + WHERE + COMMAND, ("saved", "tmp-file-abcde.json", False)),
    "saved, not renamed": (CALLED + SAVED, ("saved", "tmp-file-abcde.json", True)),
    "saved, and the model prints the script's words": (
        CALLED + "New output is nice\n" + NEW + SAVED, ("saved", "tmp-file-abcde.json", True)
    ),
    "saved without extension": (
        CALLED + SAVED.replace(".json", ""), ("saved", "tmp-file-abcde", True)
    ),
    "announced, not saved: the pod was killed": (CALLED + NEW + WHERE + COMMAND, None),
    "announced, not serialisable": (
        CALLED + NEW + crashed("2.5.2", ["TypeError: Object of type set is not JSON"]).decode(),
        ("model_error", PERMANENT),
    ),
    "an error behind it": (
        CALLED + NEW + SAVED + crashed("2.5.2", ["E: x"]).decode(), ("model_error", PERMANENT)
    ),
    "an echo that looks saved": (CALLED + COMMAND + SAVED, None),
    "empty": ("", None),
    "not ours": ("hello", None),
    "too old": (
        "Error: DEEPaaS version must be >=2.5.0. Current version is: 2.3.1\n",
        ("deepaas_too_old", PERMANENT),
    ),
    "no JSON": (
        TRACE.format("<stdin>") + "json.decoder.JSONDecodeError: Expecting value: line 1\n",
        ("bad_payload", PERMANENT),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOGS)
def test_a_log(case):
    log, expected = LOGS[case]
    assert summary(parse_log(log.encode())) == expected


def test_a_log_that_says_nothing_in_the_end_is_a_killed_model():
    failure = killed_log_failure(b"a plain print\x1b[00m \xff")
    assert (failure.code, failure.kind) == ("model_killed", TRANSIENT)
    assert failure.log == "a plain print \ufffd"
    assert "memory" in failure.message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"null", (JSON_MEDIA_TYPE, None)),
        (b"[NaN, -Infinity]", (JSON_MEDIA_TYPE, [math.nan, -math.inf])),
        (b'"hello"', (TEXT_MEDIA_TYPE, "hello")),
        (b'"12E4"', (TEXT_MEDIA_TYPE, "12E4")),
        (
            b"12E4",
            (TEXT_MEDIA_TYPE, "12E4"),
        ),  # no JSON of Python's: a text that the model saved itself
        (b'{"a": 1}\n', (JSON_MEDIA_TYPE, {"a": 1})),
        (b"a,b\n1,2\n", (TEXT_MEDIA_TYPE, "a,b\n1,2\n")),
        (PNG, ("image/png", PNG)),
        (b"\x00\xff", ("application/octet-stream", b"\x00\xff")),
        (b"a\x00b", ("application/octet-stream", b"a\x00b")),
        (b"[" * 5000, ("answer_cut_off", TRANSIENT)),
        (b"[" * 5000 + b"]" * 5000, (TEXT_MEDIA_TYPE, "[" * 5000 + "]" * 5000)),
        (b"", ("no_output", TRANSIENT)),
        (b" \n", ("no_output", TRANSIENT)),
    ],
)
def test_an_output(content, expected):
    outcome = parse_output(content, "the log")
    assert repr(summary(outcome)) == repr(expected)
    assert outcome.log == "the log"


def test_an_output_with_json_in_strings_keeps_them_in_the_log():
    outcome = parse_output(b'["[1]"]', "the log")
    assert outcome.prediction == [[1]]
    assert outcome.log.startswith("the log\n")
    assert '["[1]"]' in outcome.log


@pytest.mark.parametrize(
    ("content", "prediction"),
    [(b'"[1, {}]"', [1, {}]), (b"\"{'a': (1, None)}\"", {"a": [1, None]})],
)
def test_an_output_that_is_a_text_of_data_is_data_and_stands_in_the_log(content, prediction):
    outcome = parse_output(content, "the log")
    assert (outcome.media_type, outcome.prediction) == (JSON_MEDIA_TYPE, prediction)
    assert content.decode() in outcome.log


HEAD = "[*] Using DEEPaaS version 2.5.2\n" + record("predict was called.", "2.5.2")
CUT = [
    # an answer that ends in the middle of the value
    HEAD + f"{STAMP}INFO deepaas.cmd.cli [-] return: 0.98",
    HEAD + f"{STAMP}INFO deepaas.cmd.cli [-] return: [{{'sha': '0e",
    HEAD + f"{STAMP}INFO deepaas.cmd.cli [-] return: Non",
    HEAD + f"{STAMP}INFO deepaas.cmd.cli [-] return: a te",
    HEAD + f'{STAMP}INFO deepaas.cmd.cli [-] return: {{\n "a": 1',
    HEAD + f"{STAMP}INFO deepaas.cmd.cli [-] return:",
    HEAD + "a pri",
    HEAD.replace("2.5.2", "2.6.0").replace("called.", f"called.{RESET}")
    + f"{STAMP}INFO deepaas.cmd.cli [-] return: first line\nsecond line\n",
    started("2.5.1") + "{'a': 0.9",
    started("2.5.1") + "0.98",
]
OPEN_ENDED = [
    # an answer of which only its transport can tell that it is whole
    HEAD + f"{STAMP}INFO deepaas.cmd.cli [-] return: first line\n",
    HEAD + f"{STAMP}INFO deepaas.cmd.cli [-] return: first line\n\n",
    HEAD + "a print\n",
    HEAD,
    started("2.5.1") + "{'not': 'the answer'}\n",
    started("2.5.1") + "0.5\n",
]
WHOLE = [
    # an answer that shows by itself that the value is whole
    (HEAD + f"{STAMP}INFO deepaas.cmd.cli [-] return: 0.98\n", (JSON_MEDIA_TYPE, 0.98)),
    (HEAD + f"{STAMP}INFO deepaas.cmd.cli [-] return: [0.98]", (JSON_MEDIA_TYPE, [0.98])),
    (
        HEAD + f"{STAMP}INFO deepaas.cmd.cli [-] return: a [te\n{COMMAND}\n",
        (TEXT_MEDIA_TYPE, "a [te"),
    ),
    (sync_body("0.98", "2.5.1").decode(), (JSON_MEDIA_TYPE, 0.98)),
    (sync_body("[{'a", "2.5.2").decode(), (TEXT_MEDIA_TYPE, "[{'a")),
    (HEAD + COMMAND + "\n", ("model_killed", TRANSIENT)),
]


@pytest.mark.parametrize("body", CUT, ids=range(len(CUT)))
@pytest.mark.parametrize("framed", [True, False])
def test_an_answer_that_ends_in_the_middle_is_no_prediction(body, framed):
    outcome = parse_body(body.encode(), is_framed=framed)
    assert summary(outcome) == ("answer_cut_off", TRANSIENT)
    assert outcome.log


@pytest.mark.parametrize("body", OPEN_ENDED, ids=range(len(OPEN_ENDED)))
def test_an_answer_that_may_go_on_is_believed_only_if_its_transport_says_that_it_is_whole(body):
    assert summary(parse_body(body.encode(), is_framed=False)) == ("answer_cut_off", TRANSIENT)
    assert summary(parse_body(body.encode())) != ("answer_cut_off", TRANSIENT)


@pytest.mark.parametrize(("body", "expected"), WHOLE, ids=range(len(WHOLE)))
def test_an_answer_that_shows_its_end_needs_no_other_proof(body, expected):
    assert summary(parse_body(body.encode(), is_framed=False)) == expected


@given(
    values.filter(lambda value: not isinstance(value, str)), st.sampled_from(VERSIONS), st.data()
)
def test_no_cut_off_answer_is_another_value(value, version, draw):
    if version in BARE and (value is None or isinstance(value, int)):
        return
    body = sync_body(str(value), version)
    whole = summary(parse_body(body))
    cut = draw.draw(st.integers(0, len(body) - 1))
    outcome = parse_body(body[:cut], is_framed=False)
    assert isinstance(outcome, Failure) or repr(summary(outcome)) == repr(whole)


@given(values.filter(lambda value: not isinstance(value, (int, float, str))), st.data())
def test_no_half_written_output_is_another_value(value, draw):
    output = json.dumps(value).encode()
    cut = draw.draw(st.integers(0, len(output) - 1))
    assert isinstance(parse_output(output[:cut], "", is_saved=False), Failure)
    if isinstance(value, (list, tuple, dict)):
        assert isinstance(parse_output(output[:cut], ""), Failure)


@pytest.mark.parametrize("output", [b"0.98", b"5", b"-1e-07", b"a te", b"nul", b'"a te', b'"\\'])
def test_an_output_without_an_end_is_believed_only_if_it_was_saved(output):
    assert summary(parse_output(output, "", is_saved=False)) == ("answer_cut_off", TRANSIENT)


def test_an_output_with_an_end_is_believed():
    for output in (b"[]", b'{"a": 1}', b'"a text"', b"true", b"null"):
        assert isinstance(parse_output(output, "", is_saved=False), Reply)


def test_a_file_that_was_not_framed_must_show_its_end():
    whole, padded = base64.b64encode(PNG + b"IEND\xaeB`\x82"), base64.b64encode(b"\xfe" * 40)
    assert isinstance(parse_body(whole, is_framed=False), Reply)
    assert isinstance(parse_body(padded, is_framed=False), Reply)
    assert summary(parse_body(base64.b64encode(PNG * 3), is_framed=False))[0] == "answer_cut_off"


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_help_is_told_apart(mode):
    name = "sync_2.6.0_help.body" if mode == "sync" else "async_2.5.2_help.log"
    assert is_help_output((FIXTURES / name).read_text())
    assert not is_help_output((FIXTURES / "sync_2.6.0_ok_dict.body").read_text())
    assert not is_help_output((FIXTURES / "sync_2.6.0_fail_unknown_param.body").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        record("return: x", "2.5.2") * 50_000,
        record("return: [", "2.6.0") * 50_000,
        CALLED + "[1,\n" * 1_000_000,
        started("2.5.1") + "[1, 1, 1,\n" * 300_000,
        started("2.5.1") + "[1]\n" * 300_000,
        started() + "%|" * 2_000_000 + STAMP * 50_000,
        "Traceback (most recent call last):\n" * 100_000,
        "usage: deepaas-cli predict \n" * 100_000,
        f"{STAMP}CRITICAL deepaas-cli [-] Unhandled error: x\n" * 50_000,
        "\x1b[" * 2_000_000,
        STAMP * 100_000,
        "A" * 5_000_000,
    ],
)
def test_hostile_text_costs_no_more_than_it_is_long(text):
    assert isinstance(parse_body(text.encode()), (Reply, Failure))
    assert isinstance(parse_log(text.encode()), (SavedOutput, Failure, type(None)))


@pytest.mark.parametrize("levels", [101, 254, 600, 100_000])
@pytest.mark.parametrize(("opener", "closer"), [("[", "]"), ("(", ",)"), ("{'a': ", "}"),
                                                ('{"a": ', "}")])  # fmt: skip
@pytest.mark.parametrize("version", VERSIONS)
def test_a_prediction_nested_too_deeply_is_kept_as_text(levels, opener, closer, version):
    deep = opener * levels + "1" + closer * levels
    assert summary(parse_body(sync_body(deep, version))) == (TEXT_MEDIA_TYPE, deep)
    assert summary(parse_output(json.dumps(deep).encode(), "")) == (TEXT_MEDIA_TYPE, deep)
    assert summary(parse_output(deep.encode(), "")) == (TEXT_MEDIA_TYPE, deep)
    assert summary(parse_output(deep.encode()[:-1], ""))[0] in {TEXT_MEDIA_TYPE, "answer_cut_off"}
