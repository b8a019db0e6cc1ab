"""A real `deepaas-run` on a port of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import plugins
from support.paths import ROOT

VERSIONS = ("2.5.2", "2.6.0")
VENVS = {version: ROOT / f".venv-deepaas-{version}" for version in VERSIONS}
INSTALLED = [version for version, venv in VENVS.items() if (venv / ".stamp").exists()]
MODELS = ROOT / "tests" / "deepaas"


@contextmanager
def deepaas_run(
    version: str, folder: Path, *, with_hanging: bool = False, **env: str
) -> Iterator[int]:
    """The port of a DEEPaaS with the model `bi_probe`, and perhaps `hanging`."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "HANGING_JOURNAL": str(folder / "journal"), **env}
    environment.pop("PYTHONPATH", None)
    if with_hanging:
        site = folder / f"site-{time.monotonic_ns()}"
        plugins.install(site, group="deepaas.v2.model", name="hanging", target="hanging_model")
        environment["PYTHONPATH"] = os.pathsep.join([str(site), str(MODELS)])
    port = _find_free_port()
    command = [VENVS[version] / "bin" / "deepaas-run", "--listen-ip", "127.0.0.1"]
    with (folder / "deepaas.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--listen-port", str(port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(process, port, folder / "deepaas.log")
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its workers, too: they may hang
        process.wait()


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/") as answer:
                json.load(answer)
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(log.read_text())
