"""The texts of the local service are those of the platform: compared with recorded ones."""

from __future__ import annotations

import re
import sys
from contextlib import chdir
from pathlib import Path
from random import Random

import pytest

from batchinfer.local.journal import Journal
from batchinfer.local.predictor import PredictionRequest, Predictor
from batchinfer.local.service_options import LocalServiceOptions
from support.paths import FIXTURES, MODELS

CASES = sorted(p for p in FIXTURES.iterdir() if p.suffix in {".body", ".log"})


@pytest.fixture(autouse=True)
def _here():
    with chdir(MODELS):
        yield


def parameters(recorded: str) -> dict[str, str]:
    """The payload behind a recorded text: it says the final command."""
    command = re.search(r"Final command: .* predict (.*)", recorded)
    assert command
    words = command.group(1).split(" ")
    return {
        name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=False)
    }


def normal(text: str) -> list[str]:
    """Lines without what differs from run to run; the frames of a traceback are ours."""
    for pattern, instead in (
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \d+", "TIME PID"),
        (r"event-file-[0-9a-f-]{36}", "EVENT"),
        (r"Python version Python \S+", "PYTHON"),
        (r"tmp-file-[a-z]{5}", "TMPFILE"),
        (r"/\S*/tmp\w{8}/", "TMPDIR/"),
        (r"at 0x[0-9a-f]+", "at 0x"),
    ):
        text = re.sub(pattern, instead, text)
    return [line for line in text.split("\n") if "ERROR deepaas-cli  " not in line]


@pytest.mark.parametrize("recorded", CASES, ids=lambda path: path.name)
def test_a_text_reads_as_the_recorded_one(recorded: Path):
    mode, version, case = recorded.stem.split("_", 2)
    text = recorded.read_text()
    params = parameters(text)
    with_file = params.pop("files", None)
    if "mode" in params:
        params["mode"] = {"yolo_old": "yolo_seed", "yolo_new": "yolo_current"}.get(
            params["mode"], params["mode"]
        )
    options = LocalServiceOptions(model="local_model:predict", deepaas=version)
    predictor = Predictor(options, Journal(None))
    entry = {"key": "files", "file_format": "jpg", "data": "eA=="}
    body = str({**params, **({"oscar-files": [entry]} if with_file else {})}).replace("'", '"')
    order = PredictionRequest(mode, "event-file-" + "0" * 36, body.encode(), Random(1))
    said = normal(text.replace("yolo_old", "yolo_seed").replace("yolo_new", "yolo_current"))
    if mode == "sync":
        assert normal(predictor.predict_call(order).decode()) == said
        return
    order = PredictionRequest(mode, f"{case}.json", body.encode(), Random(1))
    files = dict(predictor.predict_job(order))
    assert normal(files.pop(f"{case}.log").decode()) == said
    results = [
        path.read_bytes() for path in FIXTURES.glob(f"{recorded.stem}.*") if path.suffix == ".json"
    ]
    assert list(files.values()) == results
    orphaned = [name for name in files if name.startswith("tmp-file-")]
    assert bool(orphaned) == (version == "2.6.0" and bool(results))


def job(name: str, body: bytes, **options: str) -> dict[str, bytes]:
    predictor = Predictor(
        LocalServiceOptions(model="local_model:predict", **options), Journal(None)
    )
    return dict(predictor.predict_job(PredictionRequest("async", name, body, Random(1))))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.json", {"a.json", "a.log"}),
        ("img.001.json", {"img.json", "img.log"}),
        ("with space.json", {"ORPHAN"}),
        ("a.JSON", {"a.log"}),
        ("photo.jpg", {"photo.log"}),
        ("my-event-file.json", {"my-event-file.json", "my-event-file.log"}),
    ],
)
def test_outputs_are_named_as_the_script_names_them(name: str, expected: set[str]):
    found = {re.sub(r"tmp-file-[a-z]{5}\.json", "ORPHAN", key) for key in job(name, b"{}")}
    assert found == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b'{"mode": "raise"}', set()), (b'{"mode": "dict"}', {"event-file.json", "event-file.log"})],
)
def test_a_failing_run_named_like_an_event_leaves_nothing(body: bytes, expected: set[str]):
    assert set(job("event-file.json", body)) == expected


def test_an_unserialisable_result_leaves_a_log_only():
    files = job("a.json", b'{"mode": "set"}')
    assert set(files) == {"a.log"}
    assert b"New output is" in files["a.log"]
    assert b"Object of type set is not JSON serializable" in files["a.log"]


def test_a_raw_image_leaves_a_log_with_the_error():
    log = job("photo.jpg", b"\xff\xd8\xff\xe0")["photo.log"].decode()
    assert log.startswith('Traceback (most recent call last):\n  File "<stdin>"')
    assert "UnicodeDecodeError" in log


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"lst": [1]}', "TypeError: sequence item 3: expected str instance, list found"),
        (b'{"dct": {"a": 1}}', "TypeError: sequence item 3: expected str instance, dict found"),
        (b'{"mode": null}', "TypeError: sequence item 3: expected str instance, NoneType found"),
        (b'{"oscar-files": [{"key": "files", "data": ""}]}', "KeyError: 'file_format'"),
        (b'{"oscar-files": {"key": "files"}}', "TypeError: string indices must be integers"),
        (
            b'{"oscar-files": [{"key": "files", "file_format": "jpg", "data": "a"}]}',
            "binascii.Error",
        ),
        (b"not json", "json.decoder.JSONDecodeError"),
        (b"", "json.decoder.JSONDecodeError"),
        (b'{"zzz": 1}', "deepaas-cli: error: unrecognized arguments: --zzz 1"),
        (b'{"rng": 1.0}', "argument --rng: invalid int value: '1.0'"),
        (b'{"mode": "-x"}', "deepaas-cli predict: error: argument --mode: expected one argument"),
        (b'{"lst": "[true]"}', "argument --lst: invalid literal_eval value: '[true]'"),
        (b'{"mode": "echo", "lst": "[1, None]"}', "'lst': [1, None]"),
        (b'{"mode": "echo", "flag": "no way"}', "'flag': False"),
        (b'{"mode": "echo", "flag": true}', "'flag': True"),
        (b'{"mode": "echo", "flag": "T"}', "'flag': True"),
        (b'{"mode": "echo", "im": "[1]"}', "--im [1]"),
        (b'{"mode": "exit"}', "Final command"),
        (b'{"model": "%s"}' % (b"x" * 131_072), "Something went wrong during the execution."),
        (b'{"model": "a\\u0000"}', "Something went wrong during the execution."),
    ],
    ids=lambda value: str(value[:60]),
)
def test_parameters_go_the_way_of_the_platform(body: bytes, expected: str):
    predictor = Predictor(LocalServiceOptions(model="local_model:predict"), Journal(None))
    said = predictor.predict_call(
        PredictionRequest("sync", "event-file-1", body, Random(1))
    ).decode()
    assert expected in said


def test_of_two_files_of_one_parameter_the_last_counts():
    predictor = Predictor(LocalServiceOptions(model="local_model:described"), Journal(None))
    entry = '{"key": "files", "file_format": "jpg", "data": "%s"}'
    body = f'{{"oscar-files": [{entry % "eHh4"}, {entry % "eA=="}]}}'
    said = predictor.predict_call(
        PredictionRequest("sync", "event-file-1", body.encode(), Random(1))
    ).decode()
    assert re.search(r"return: tmp-file-[a-z]{5}\.jpg 1 a\n", said)
    assert said.count("[*] Processing file:  tmp-file-") == 2


def test_a_file_without_a_format_comes_back():
    predictor = Predictor(LocalServiceOptions(model="local_model:described"), Journal(None))
    body = b'{"oscar-files": [{"key": "files", "file_format": "", "data": "eHh4"}]}'
    assert (
        predictor.predict_call(PredictionRequest("sync", "event-file-1", body, Random(1)))
        == b"eHh4"
    )


def test_after_a_stop_no_process_goes_on():
    predictor = Predictor(LocalServiceOptions(model="local_model:predict"), Journal(None))
    predictor.stop()
    body = b'{"mode": "sleep", "rng": 600}'
    said = predictor.predict_call(
        PredictionRequest("sync", "event-file-1", body, Random(1))
    ).decode()
    assert "return: " not in said


def test_help_shows_description_type_required_and_choices():
    predictor = Predictor(LocalServiceOptions(model="local_model:described"), Journal(None))
    said = predictor.predict_call(
        PredictionRequest("sync", "event-file-1", b'{"help": ""}', Random(1))
    ).decode()
    assert (
        "  --files FILES\n          Input 100 % of an image.\n          Type: str (filepath)\n"
        "          *Required*\n"
        "  --kind KIND\n          Which.\n          Type: str\n          Default: a\n"
        "          Choices: ['a', 'b']\n"
    ) in said


def test_a_parameter_that_begins_several_global_options_is_ambiguous_where_python_is_old():
    body = b'{"mode": "echo", "conf": 0.5}'
    predictor = Predictor(LocalServiceOptions(model="local_model:predict"), Journal(None))
    said = predictor.predict_call(
        PredictionRequest("sync", "event-file-1", body, Random(1))
    ).decode()
    old = sys.version_info < (3, 12, 8) or sys.version_info[:3] == (3, 13, 0)
    assert old == ("ambiguous option: --conf could match --config-dir, --config-file" in said)


def test_a_command_is_a_model_too():
    options = LocalServiceOptions(command="sh -c 'echo noise >&2; wc -c < {files}'")
    predictor = Predictor(options, Journal(None))
    body = b'{"oscar-files": [{"key": "files", "file_format": "bin", "data": "eHh4"}]}'
    said = predictor.predict_call(
        PredictionRequest("sync", "event-file-1", body, Random(1))
    ).decode()
    assert "noise" in said
    assert "return: 3\n" in said
