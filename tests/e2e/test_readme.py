"""The README, and the steps of the platform's tutorial, as a new user pastes them.

Every line is run, in an environment that holds nothing.

What only an installation could show is left out: `pip install` and `make`, whose extras and targets
are looked up instead.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.local.service_connection import LocalBucketAccess, ServiceConnection
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import png, shell
from support.paths import MODELS, ROOT

README = (ROOT / "README.md").read_text()
STEPS = (ROOT / "docs" / "how-to" / "from-the-tutorial.md").read_text()
COMMANDS = re.findall(r"^\|.*\| `(batchinfer [^`]+)` \|$", STEPS, re.MULTILINE)
PREDICTION = [[{"name": "bear", "size": len(png(1))}]]


def private(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def info_of(access: ServiceConnection) -> str:
    """What the Dashboard shows of a service, as JSON."""
    bucket = access.bucket
    minio = {
        "endpoint": bucket.endpoint,
        "access_key": bucket.access_key,
        "secret_key": bucket.secret_key,
        "region": bucket.region,
        "verify": True,
    }
    return json.dumps(
        {
            "name": bucket.name,
            "token": access.token,
            "endpoint": access.endpoint,
            "storage_providers": {"minio": {"default": minio}},
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """Where somebody follows the tutorial: credentials, an image, the demo app's inputs."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "bear.jpg").write_bytes(png(1))
    for name in ("sample-image.png", "sample-audio.wav", "sample-video.mp4"):
        (folder / name).write_bytes(name.encode())
    (line,) = re.findall(r"^\{\"files\".*$", STEPS, re.MULTILINE)
    (folder / "demo.jsonl").write_text(line)
    with (
        start_service(
            LocalServiceOptions(model="demo_app:bears", threads=True), cwd=MODELS
        ) as yolo,
        start_service(
            LocalServiceOptions(model="demo_app:demo_app", threads=True), cwd=MODELS
        ) as demo,
    ):
        text = (ROOT / "configs" / "demo-app.toml").read_text()
        address = re.findall(r'^endpoint = "([^"]+)"', text, re.MULTILINE)[0]
        (folder / "demo-app.toml").write_text(text.replace(address, demo.connection.endpoint))
        private(folder / ".demo-app.env", f"OSCAR_TOKEN={demo.connection.token}\n")
        (folder / "info.json").write_text(info_of(yolo.connection))
        yield folder


def test_the_table_has_every_step():
    assert len(COMMANDS) == 11


@pytest.mark.parametrize("line", COMMANDS)
def test_each_step_of_the_tutorial(line: str, folder: Path):
    """In the order of the table: later steps use what earlier ones made."""
    done = shell(line, folder)
    assert done.returncode == 0, done.stderr
    match line.split()[1:]:
        case ["run", "bear.jpg", "--dry-run", "--curl"]:
            answer = shell(done.stdout, folder)
            assert "return: [" in answer.stdout
        case ["run" | "submit" | "collect", first, *_] as words:
            run = folder / (words[3] if len(words) > 2 else first)
            if words[0] != "submit":
                (result,) = bi.results(run)
                assert result.state is bi.State.SUCCEEDED
                expected = -0.9 if "demo" in run.name else None
                if expected is None:
                    assert result.prediction == PREDICTION
                else:
                    assert result.prediction["demo_float"] == expected
                    assert result.prediction["demo_bool"] is False
                    assert result.prediction["demo_dict"] == {"c": "d"}
                    assert result.prediction["demo_list_of_floats"] == [1.2, -1.8]
        case ["show", *_]:
            assert '"name": "bear"' in done.stdout
        case ["describe"]:
            assert "Input an image or video." in done.stdout
        case ["prepare", *_]:
            (payload,) = (folder / "payloads").glob("*.json")
            assert json.loads(payload.read_text())["oscar-files"][0]["key"] == "files"


def test_the_prepared_payload_is_what_the_web_ui_and_curl_take(folder: Path):
    (payload,) = (folder / "payloads").glob("*.json")
    secrets = f". {folder / '.batchinfer.env'}\n"
    endpoint = json.loads((folder / "info.json").read_text())["endpoint"]
    done = shell(
        f'{secrets}curl -s {endpoint} -H "Authorization: Bearer $OSCAR_TOKEN" --data @{payload}',
        folder,
    )
    assert "return: [" in done.stdout


BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SHELL = [text for language, text in BLOCKS if not language]
"""What is to be pasted into a shell: with prompts where its output is shown, too."""


def lines_of(block: str) -> list[str]:
    """The commands of a block that a test can run."""
    prompted = re.findall(r"^\$ (.*)$", block, re.MULTILINE)
    return [
        line
        for line in prompted or block.splitlines()
        if line.startswith("batchinfer ") and not line.startswith("batchinfer local --deepaas")
    ]


def output_of(line: str) -> list[str]:
    """The lines that the README shows below a command."""
    pattern = rf"^\$ {re.escape(line)}.*\n((?:(?!\$ ).*\n)*?)(?=\$ |```)"
    (shown,) = re.findall(pattern, README, re.MULTILINE)
    return shown.rstrip("\n").split("\n")


def run_all(lines: list[str], folder: Path) -> str:
    """Paste lines, one after the other; what the last one said.

    With broken photographs, a run ends with 1: items have failed.
    """
    said = ""
    for line in lines:
        done = shell(line, folder)
        may_fail = any(verb in line for verb in (" run ", " submit ", " resume ", " collect "))
        # ctl: on a busy machine the run may be over before it is asked.
        is_over = " ctl " in line and "is not running" in done.stderr
        allowed = {0, 1} if may_fail else {3} if is_over else {0}
        assert done.returncode in allowed, f"{line}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        said = done.stdout + done.stderr
    return said


@pytest.fixture(scope="module")
def tried(tmp_path_factory) -> Iterator[Path]:
    """A folder in which somebody has pasted the first block, up to the service."""
    folder = tmp_path_factory.mktemp("try")
    block = next(block for block in SHELL if "batchinfer local" in block)
    (line,) = [line for line in lines_of(block) if line.startswith("batchinfer local")]
    # The service of the README predicts; this one answers as fast as the test needs.
    done = shell(line.replace("--model faces", "--threads --latency 0.3"), folder)
    assert done.returncode == 0, done.stderr
    (stop,) = re.findall(r"stop it: (kill \d+)$", done.stderr, re.MULTILINE)
    yield folder
    assert shell(stop, folder).returncode == 0


def test_every_block_is_of_a_kind_that_is_tested():
    assert {language for language, _ in BLOCKS} == {"", "toml", "python"}
    assert len([line for block in SHELL for line in lines_of(block)]) > 15


def test_what_is_to_be_installed_and_made_exists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"pip install '\.\[([^]]+)\]'", README)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert named
    assert {each for extra in named for each in extra.split(",")} <= set(
        extras["optional-dependencies"]
    )
    assert set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE)) <= set(targets)


def test_the_first_block_runs_as_it_stands(tried: Path):
    block = next(block for block in SHELL if "batchinfer local" in block)
    run_all([line for line in lines_of(block) if "local" not in line], tried)

    counts = bi.status(tried / "my-run").counts
    assert counts.succeeded == 58  # a service that only counts bytes takes two of the broken ones
    assert counts.failed == 1
    assert (tried / "my-run" / "report.html").exists()
    assert len((tried / "results.csv").read_text().splitlines()) >= 60


def test_every_other_block_runs_where_somebody_has_a_service_and_photographs(tried: Path, tmp_path):
    """From `init --from` on, in one folder, in the order of the page."""
    found = tomllib.loads((tried / "batchinfer.toml").read_text())
    access = ServiceConnection(
        endpoint=found["service"]["endpoint"],
        token=found["service"]["token"],
        bucket=LocalBucketAccess(**found["bucket"]),
    )
    (tmp_path / "info.json").write_text(info_of(access))
    (tmp_path / "photos").symlink_to(tried / "photos")
    first = next(at for at, block in enumerate(SHELL) if "init --from" in block)
    for block in SHELL[first:]:
        run_all(lines_of(block), tmp_path)

    for run in ("my-run", "my-async-run", "next-run"):
        assert bi.status(tmp_path / run).counts.succeeded == 58


def test_what_init_says_and_writes_is_what_the_page_shows(tmp_path):
    configuration = next(text for language, text in BLOCKS if language == "toml")
    shown = tomllib.loads(configuration)
    bucket = LocalBucketAccess(
        shown["bucket"]["endpoint"], shown["bucket"]["name"], "me", "secret", "us-east-1"
    )
    access = ServiceConnection(shown["service"]["endpoint"], "0123456789abcdef" * 4, bucket)
    (tmp_path / "info.json").write_text(info_of(access))

    said = run_all(["batchinfer init --from info.json"], tmp_path)

    assert said.splitlines() == output_of("batchinfer init --from info.json")
    assert (tmp_path / "batchinfer.toml").read_text() == configuration


def test_what_check_and_describe_say_is_what_the_page_shows(tmp_path):
    with start_service(LocalServiceOptions(model="faces")) as service:
        (tmp_path / "batchinfer.toml").write_text(service.connection.to_toml())
        checked = run_all(["batchinfer check"], tmp_path).splitlines()
        described = shell("batchinfer describe", tmp_path).stdout.splitlines()

    # The service of the page has https.
    checked = [line.removesuffix("; not encrypted") for line in checked]
    assert [line for line in output_of("batchinfer check") if line not in ("...", *checked)] == []
    assert described == output_of("batchinfer describe")


def test_the_python_block_runs(tried: Path, monkeypatch):
    (code,) = [text for language, text in BLOCKS if language == "python"]
    monkeypatch.chdir(tried)

    names: dict[str, object] = {}
    exec(code, names)

    assert names["run"].counts.succeeded == 58
    assert len(names["found"]) >= 0
