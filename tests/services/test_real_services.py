"""The ready configurations of KServe's protocols against the real KServe and MLServer."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.cli import batchinfer, clean_environment, rows, start, until
from support.paths import ROOT

HERE = Path(__file__).parent
COUNT = 60
VENVS = {name: ROOT / f".venv-{name}" for name in ("kserve", "mlserver")}
CASES = [("kserve", "kserve-v1"), ("kserve", "kserve-v2"), ("mlserver", "kserve-v2")]
READY = {"kserve-v1": "/v1/models/bear", "kserve-v2": "/v2/models/bear/ready"}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", VENVS)
def test_it_is_the_real_service_that_is_tested(name: str):
    is_installed = (VENVS[name] / ".stamp").exists()
    why = f"{name} is not installed (make services): nothing of it was tested"
    if not is_installed and os.environ.get("CI") != "true":
        pytest.skip(why)
    assert is_installed, why


@contextmanager
def serving(name: str, ready: str, folder: Path) -> Iterator[int]:
    """The port of a service with the model `bear`."""
    ports = [_find_free_port() for _ in range(3)]
    python = VENVS[name] / "bin" / "python"
    command = [python, HERE / "kserve_bear.py", str(ports[0])]
    if name == "mlserver":
        model = {"name": "bear", "implementation": "mlserver_bear.Bear"}
        keys = ("http_port", "grpc_port", "metrics_port")
        settings = {
            "host": "127.0.0.1",
            "parallel_workers": 0,
            **dict(zip(keys, ports, strict=True)),
        }
        (folder / "model-settings.json").write_text(json.dumps(model))
        (folder / "settings.json").write_text(json.dumps(settings))
        command = [VENVS[name] / "bin" / "mlserver", "start", str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(HERE)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{ports[0]}{ready}", folder / "log")
        yield ports[0]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(
    ("name", "config"), [case for case in CASES if (VENVS[case[0]] / ".stamp").exists()]
)
def test_a_ready_config_runs_is_killed_and_goes_on(name: str, config: str, tmp_path: Path):
    photos, served = tmp_path / "photos", tmp_path / "served"
    for folder in (photos, served):
        folder.mkdir()
    for number in range(COUNT):
        content = b"\x89PNG\r\n\x1a\n" + str(number).encode() * (400_000 if number == 7 else 1)
        (photos / f"{number}.png").write_bytes(content)
    env = clean_environment()
    with serving(name, READY[config], served) as port:
        text = (ROOT / "configs" / f"{config}.toml").read_text().replace("MODEL", "bear")
        endpoint = f'endpoint = "http://127.0.0.1:{port}"'
        text = re.sub(r"^endpoint = .*$", endpoint, text, flags=re.MULTILINE)
        (tmp_path / "batchinfer.toml").write_text(text)
        checked = batchinfer("check", "--json", cwd=tmp_path, env=env).stdout
        process = start("run", "photos", "-o", "out", "-q", "-n", "1", cwd=tmp_path, env=env)
        counts = until(tmp_path / "out", lambda c: c.finished >= COUNT // 4, process)
        process.kill()
        process.communicate()
        batchinfer("resume", "out", "-q", cwd=tmp_path, env=env)

    assert counts.finished < COUNT
    assert {line["state"] for line in json.loads(checked)["checks"]} == {"good"}
    told = {row["key"]: json.dumps(row["prediction"]) for row in rows(tmp_path / "out")}
    for path in photos.iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() in told[path.name]


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(url):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(log.read_text())
