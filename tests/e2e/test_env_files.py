"""With nothing in the environment, every command finds its secrets; and nobody else does."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import ServiceProcess, start_service
from support.cli import images
from support.paths import ROOT


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with start_service(LocalServiceOptions(threads=True)) as started:
        yield started


@pytest.fixture
def desk(tmp_path: Path, service: ServiceProcess) -> Path:
    """A folder with a configuration, its secrets in the file that `init` writes, and photos."""
    connection, bucket = service.connection, service.connection.bucket
    (tmp_path / "batchinfer.toml").write_text(
        f'[service]\nendpoint = "{connection.endpoint}"\ntoken = "${{OSCAR_TOKEN}}"\n'
        f'[bucket]\nendpoint = "{bucket.endpoint}"\nname = "{bucket.name}"\n'
        'access_key = "${MINIO_ACCESS_KEY}"\nsecret_key = "${MINIO_SECRET_KEY}"\n'
    )
    secrets(tmp_path / ".batchinfer.env", service)
    images(tmp_path / "photos", 3)
    return tmp_path


def secrets(path: Path, service: ServiceProcess) -> Path:
    connection, bucket = service.connection, service.connection.bucket
    path.write_text(
        f"export OSCAR_TOKEN={connection.token}\n"
        f"export MINIO_ACCESS_KEY='{bucket.access_key}'\n"
        f'MINIO_SECRET_KEY="{bucket.secret_key}"\n'
    )
    path.chmod(0o600)
    return path


def empty(line: str, folder: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a line in an environment without a single variable, as cron nearly does."""
    tool = f"{sys.executable} -m batchinfer"
    line = re.sub(r"\bbatchinfer (?=[a-z])", f"{tool} ", line)
    done = subprocess.run(
        ["env", "-i", shutil.which("sh"), "-c", line],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def test_the_documented_line_for_cron(desk: Path):
    text = (ROOT / "docs" / "how-to" / "schedule.md").read_text()
    (line,) = re.findall(r"^\*/30 \* \* \* \*  (.*)$", text, re.MULTILINE)
    assert line.startswith("cd /data && batchinfer run ")

    for _ in range(2):
        done = empty(line.replace("/data", str(desk)), Path("/"))
        assert (done.stdout, done.stderr) == ("", "")

    assert bi.status(desk / "my-run").counts.succeeded == 3


@pytest.mark.parametrize(
    "line",
    [
        "check",
        "describe",
        "describe --mode async",
        "run photos -o run",
        "run photos -o run --mode async --clean",
        "run photos --dry-run",
        "run photos -o run --estimate 2",
        "prepare photos -o payloads",
        "run photos -o run --detach && batchinfer status run --follow",
        "submit photos -o run && batchinfer collect run && batchinfer clean run",
        "run photos -o run --limit 1 && batchinfer resume run && batchinfer describe run --again",
    ],
)
def test_every_command_finds_its_secrets(desk: Path, service: ServiceProcess, line: str):
    done = empty(f"batchinfer {line}", desk)

    if (desk / "run").exists():
        assert bi.status(desk / "run").counts.succeeded == (2 if "--estimate" in line else 3)
    hidden = (service.connection.token, service.connection.bucket.secret_key)
    said = done.stdout + done.stderr
    kept = [path.read_bytes() for path in desk.glob("run/*") if path.is_file()]
    for secret in hidden:
        assert secret not in said
        assert not [data for data in kept if secret.encode() in data]


def test_a_run_goes_on_from_any_folder_with_its_config_anywhere(desk: Path, tmp_path_factory):
    other, run = tmp_path_factory.mktemp("other"), tmp_path_factory.mktemp("runs") / "run"
    (desk / "batchinfer.toml").rename(desk / "mine.toml")
    (desk / ".batchinfer.env").rename(desk / ".mine.env")
    empty(f"batchinfer submit photos -c mine.toml -o {run}", desk)

    empty(f"batchinfer collect {run}", other)

    assert bi.status(run).counts.succeeded == 3


def test_a_secret_in_the_config_itself_is_found_again_without_c(
    desk: Path, service: ServiceProcess
):
    (desk / "c").mkdir()
    (desk / "c" / "local.toml").write_text(service.connection.to_toml())
    (desk / "batchinfer.toml").unlink()
    (desk / ".batchinfer.env").unlink()
    empty("batchinfer run photos -c c/local.toml -o run --limit 1", desk)

    done = empty("batchinfer resume run", desk)

    assert f"Secrets are taken from {desk / 'c' / 'local.toml'}." in done.stderr
    assert bi.status(desk / "run").counts.succeeded == 3


def test_a_named_file_is_remembered_too(desk: Path, service: ServiceProcess, tmp_path_factory):
    (desk / ".batchinfer.env").unlink()
    named = secrets(tmp_path_factory.mktemp("keys") / "my keys", service)

    assert "OSCAR_TOKEN" in empty("batchinfer run photos -o run", desk, code=2).stderr
    empty(f"batchinfer run photos -o run --limit 1 --env-file '{named}'", desk)
    empty("batchinfer resume run", desk)

    assert bi.status(desk / "run").counts.succeeded == 3


def test_the_environment_wins(desk: Path):
    done = empty(f"OSCAR_TOKEN={'0' * 64} batchinfer check", desk, code=1)

    assert "✗ sync  access" in done.stdout


def test_the_printed_curl_works_as_it_stands(desk: Path):
    line = (
        "batchinfer run photos --dry-run --curl > call.sh && PATH=$PATH:/usr/bin:/bin bash call.sh"
    )

    assert "sha256" in empty(line, desk).stdout


def test_from_python_too(desk: Path, monkeypatch):
    for name in ("OSCAR_TOKEN", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)

    summary = bi.run(desk / "photos", desk / "run", config=desk / "batchinfer.toml", limit=1)
    assert summary.counts.succeeded == 1

    assert bi.resume(desk / "run").counts.succeeded == 3
