"""What the model takes is shown, kept, and held against what is about to be sent."""

import json
from pathlib import Path

import pytest

from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, config, images, rows
from support.paths import MODELS

FLAGS = ("--file-param", "image", "--param", "size=3")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    data = str(tmp_path_factory.mktemp("bucket"))
    options = LocalServiceOptions(
        threads=True, model="described_model:predict", deepaas="2.6.0", data=data
    )
    with start_service(options, cwd=MODELS) as started:
        yield started


@pytest.fixture
def toml(tmp_path, service):
    return config(tmp_path / "c.toml", service)


@pytest.fixture
def async_toml(tmp_path, service):
    """As of somebody who has only the bucket."""
    text = config(tmp_path / "async.toml", service).read_text()
    path = tmp_path / "async.toml"
    path.write_text(text[text.index("[bucket]") :])
    return path


@pytest.fixture
def photos(tmp_path):
    return images(tmp_path / "photos", 3)


def objects(service) -> list[Path]:
    return [path for path in Path(service.options.data).rglob("*") if path.is_file()]


def asked(service, mode: str = "sync") -> int:
    return service.read_stats().get(f"{mode}_asked", 0)


def begun(service) -> int:
    return sum(service.read_stats().get(f"{mode}_started", 0) for mode in ("sync", "async"))


def test_what_the_model_takes_is_shown_as_a_table(toml):
    done = batchinfer("describe", "-c", toml)

    assert done.stdout.splitlines()[:4] == [
        "name    type   default           what it is",
        "image   file   required          A photograph.",
        "                                 JPEG or PNG.",
        "size    int    required          Pixels.",
    ]
    assert "One of: cat, dog." in done.stdout
    assert "Cannot be sent: DEEPaaS takes this name for an abbreviation" in done.stdout
    assert "DEEPaaS's own" in done.stdout
    assert "Asking the service" in done.stderr


def test_what_the_model_takes_as_json(toml):
    done = batchinfer("describe", "-c", toml, "--json", "-q")
    found = json.loads(done.stdout)

    assert done.stderr == ""
    assert found["open"] is False
    assert "usage: deepaas-cli predict" in found["help"]
    assert found["parameters"][2] == {
        "name": "kind",
        "type": "str",
        "required": False,
        "default": "cat",
        "choices": ["cat", "dog"],
        "is_file": False,
        "help": "Which animal.",
    }


def test_through_the_bucket_it_is_the_same_and_nothing_is_left_there(toml, async_toml, service):
    before = objects(service)
    by_call = batchinfer("describe", "-c", toml, "--json", "-q")
    through_bucket = batchinfer("describe", "-c", async_toml, "--json")

    parameters = json.loads(by_call.stdout)["parameters"]
    assert json.loads(through_bucket.stdout)["parameters"] == parameters
    assert "by a job" in through_bucket.stderr
    assert objects(service) == before


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_every_mistake_is_told_and_nothing_sent(mode, toml, photos, service, tmp_path):
    before = begun(service)
    line = ("run", photos, "-c", toml, "-o", tmp_path / "run", "--mode", mode)
    done = batchinfer(*line, "--param", "knid=cat", "--param", "imgsz=[1, true", code=2)

    assert "4 mistakes in the parameters; nothing was sent" in done.stderr
    assert "--param knid: the model has no parameter 'knid' (did you mean 'kind'?)" in done.stderr
    assert "--param imgsz: parameter 'imgsz' takes a list as Python writes it" in done.stderr
    assert "no parameter 'files'; it takes files as 'image'" in done.stderr
    assert "needs the parameter 'size' (int), and it is not given" in done.stderr
    assert not (tmp_path / "run").exists()
    assert begun(service) == before


def test_lines_of_a_manifest_are_told_with_their_numbers(toml, photos, service, tmp_path):
    names = [path.relative_to(tmp_path) for path in sorted(photos.rglob("*.png"))]
    manifest = tmp_path / "list.csv"
    cells = zip(names, ["3", "1.5", ""], ["dog", "cat", "bird"], strict=True)
    manifest.write_text("path,size,kind\n" + "".join(f"{','.join(map(str, c))}\n" for c in cells))
    before = begun(service)
    line = ("run", manifest, "-c", toml, "-o", tmp_path / "run", "--file-param", "image")
    done = batchinfer(*line, "--json", code=2)

    assert json.loads(done.stdout)["code"] == "source_error"
    assert f"{manifest}:3: parameter 'size' takes a whole number" in done.stderr
    assert f"{manifest}:4: parameter 'kind' must be one of cat, dog; it is bird" in done.stderr
    assert f"{manifest}:4: the model needs the parameter 'size'" in done.stderr
    assert begun(service) == before


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_what_fits_is_sent_and_the_help_is_kept(mode, toml, photos, service, tmp_path):
    run = tmp_path / "run"
    line = ("run", photos, "-c", toml, "-o", run, "--mode", mode, *FLAGS, "--param", "imgs=[7]")
    before = asked(service)
    first = batchinfer(*line)
    (photos / "new.png").write_bytes(b"new")
    again = batchinfer(*line)
    shown = batchinfer("describe", run, "--json")

    assert all("'imgs' for its parameter 'imgsz'" in done.stderr for done in (first, again))
    assert asked(service) - before == 1
    assert len(json.loads(shown.stdout)["parameters"]) == 7
    assert {row["prediction"]["size"] for row in rows(run)} == {3}
    assert [row["prediction"]["list"] for row in rows(run)] == [[7]] * 4


def test_told_not_to_it_checks_nothing(toml, photos, service, tmp_path):
    before = asked(service)
    line = ("run", photos, "-c", toml, "-o", tmp_path / "run", "--file-param", "image")
    done = batchinfer(*line, "--no-validate", code=1)

    assert "bad_param 3" in done.stderr
    assert asked(service) == before


def test_with_a_bucket_alone_a_run_is_checked_once_it_was_described(
    async_toml, photos, service, tmp_path
):
    run = tmp_path / "run"
    before = asked(service, "async")
    line = ("run", photos, "-c", async_toml, "-o", run, "--file-param", "image")
    first = batchinfer(*line, "--param", "size=3")
    batchinfer("describe", run, "-c", async_toml)
    (photos / "new.png").write_bytes(b"new")
    again = batchinfer(*line, "--param", "size=1.5", "--force", code=2)
    dry = batchinfer(*line, "--param", "size=1.5", "--force", "--dry-run", code=2)

    assert "not checked against the model" in first.stderr
    assert "`batchinfer describe RUN` asks through the bucket" in first.stderr
    assert asked(service, "async") - before == 1
    for done in (again, dry):
        assert "--param size: parameter 'size' takes a whole number" in done.stderr


def test_a_model_that_takes_anything_is_given_anything(photos, tmp_path):
    with start_service(LocalServiceOptions(threads=True)) as echo:
        toml = config(tmp_path / "c.toml", echo)
        run = tmp_path / "run"
        batchinfer("run", photos, "-c", toml, "-o", run, "--param", "whatever=1")
        shown = batchinfer("describe", run)

    assert {row["prediction"]["whatever"] for row in rows(run)} == {"1"}
    assert "It takes other parameters, too." in shown.stdout


def test_a_cold_service_is_waited_for_before_the_run(photos, tmp_path):
    with start_service(LocalServiceOptions(threads=True, cold_start=1)) as echo:
        toml = config(tmp_path / "c.toml", echo)
        done = batchinfer("run", photos, "-c", toml, "-o", tmp_path / "run")

    assert "warming up" in done.stderr
    assert "3 succeeded of 3" in done.stderr


def test_without_a_service_there_is_no_description(photos, tmp_path):
    with start_service(LocalServiceOptions(threads=True)) as echo:
        toml = config(tmp_path / "c.toml", echo)
    done = batchinfer("describe", "-c", toml, code=3)

    assert "no connection to 127.0.0.1" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("typed", ["1.10", "1e3", "true", "null", "[1,2]", "007"])
def test_a_parameter_that_is_a_text_gets_what_was_typed(tmp_path, toml, photos, typed):
    flags = (*FLAGS, "-c", toml, "--param", f"accept={typed}", "--param", "flag=true")
    run = tmp_path / "run"

    batchinfer("run", photos, "-o", run, *flags, "-q")
    kept = json.loads(batchinfer("query", run, "SELECT config FROM run", "--format", "json").stdout)
    params = json.loads(kept[0]["config"])["params"]

    assert params == {"size": 3, "accept": typed, "flag": True}
    batchinfer("run", photos, "-o", run, *flags, "-q")  # the same command line goes on
