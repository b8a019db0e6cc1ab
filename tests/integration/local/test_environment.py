"""The local service in front of a `deepaas-cli` of its own: here a script that plays it.

What the real one does is tested in `tests/deepaas`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from random import Random
from threading import Thread

import pytest

from batchinfer.errors import ConfigError
from batchinfer.local.journal import Journal
from batchinfer.local.predictor import PredictionRequest, Predictor
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.venv_runner import VenvRunner

PLAYED = """\
#!{python}
import os, sys, time
if "--version" in sys.argv:
    print("a line of the module")
    print({version!r})
    sys.exit({status})
sys.stdout.write("printed\\r\\n")
sys.stderr.write("2026-11-23 07:35:30.497 1 INFO deepaas.cmd.cli [-] predict was called.\\n")
if "sleep" in sys.argv:
    time.sleep(600)
here = os.path.samefile(os.getcwd(), os.environ["TMPDIR"])
print(sys.argv[1:], here, os.environ.get("DEEPAAS_V2_MODEL"))
"""


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    return played(tmp_path / "venv")


def played(folder: Path, version: str = "2.6.0", status: object = 0) -> Path:
    programs = folder / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    cli = programs / "deepaas-cli"
    cli.write_text(PLAYED.format(python=sys.executable, version=version, status=status))
    cli.chmod(0o755)
    return folder


def test_versions_are_what_the_environment_says(venv: Path):
    python = "{}.{}.{}".format(*sys.version_info[:3])

    assert VenvRunner(venv).versions == ("2.6.0", python)
    assert VenvRunner(played(venv / "b", "2.5.2-dev (at /x)")).versions == ("2.5.2", python)


@pytest.mark.parametrize(
    ("version", "status", "says"),
    [
        ("2.3.2", 0, "has DEEPaaS 2.3.2, and the platform needs 2.5.0"),
        ("", "'[ERROR]: Choose one\\nin DEEPAAS_V2_MODEL.'", "start: Choose one in DEEPAAS_V2"),
        ("", "open('/nowhere/x')", "does not start: FileNotFoundError"),
    ],
)
def test_an_environment_that_can_predict_nothing_is_refused(tmp_path, version, status, says):
    with pytest.raises(ConfigError, match=says):
        VenvRunner(played(tmp_path / "bad", version, status))


def test_a_folder_without_deepaas_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"cannot run .*deepaas-cli: No such file"):
        VenvRunner(tmp_path)


@pytest.mark.parametrize("also", [{"model": "faces"}, {"command": "wc"}, {"threads": True}])
def test_a_real_module_is_the_only_model(venv: Path, also: dict[str, object]):
    with pytest.raises(ConfigError, match="leave out --model, --command and --threads"):
        LocalServiceOptions(deepaas_venv=str(venv), **also)


def test_a_call_says_all_that_was_written_and_the_arguments_of_the_platform(venv: Path):
    predictor = Predictor(LocalServiceOptions(deepaas_venv=str(venv)), Journal(None))
    payload = b'{"n": 5, "oscar-files": [{"key": "f", "file_format": "txt", "data": "eA=="}]}'

    said = predictor.predict_call(
        PredictionRequest("sync", "event-file-1", payload, Random(1))
    ).decode()

    head, event, called, printed, played_, *script = said.split("\n")[1:]
    assert said.startswith("[*] Using DEEPaaS version 2.6.0\n")
    assert head.startswith("[*] Using Python version Python 3.")
    assert event == "event-file-1"
    assert called.endswith("predict was called.")
    assert printed == "printed\r"
    assert played_.startswith("['predict', '--n', '5', '--f', 'tmp-file-")
    assert played_.endswith(".txt'] True None")
    assert script[0].startswith("[*] Processing file:  tmp-file-")
    assert script[1].startswith("[*] Final command: deepaas-cli predict --n 5 --f tmp-file-")


def test_a_killed_model_was_called_and_says_no_more(venv: Path, tmp_path: Path):
    said = VenvRunner(venv).run(["predict", "--mode", "sleep"], tmp_path, kill_model=True)

    assert said.endswith("predict was called.\n")


def test_a_stop_ends_what_runs_and_what_begins_then(venv: Path, tmp_path: Path):
    environment = VenvRunner(venv)
    running = Thread(
        target=environment.run, args=(["sleep"], tmp_path), kwargs={"kill_model": False}
    )
    running.start()
    environment.stop()
    running.join(60)
    assert not running.is_alive()
    environment.run(["sleep"], tmp_path, kill_model=False)


def test_the_command_line_serves_it(venv: Path):
    command = [sys.executable, "-m", "batchinfer", "local", "--deepaas", str(venv), "--json"]
    variables = os.environ | {"DEEPAAS_V2_MODEL": "second"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as served:
        assert served.stdout
        where = json.loads(served.stdout.readline())
        headers = {"Authorization": f"Bearer {where['token']}"}
        call = urllib.request.Request(where["endpoint"], b"{}", headers)
        with urllib.request.urlopen(call, timeout=60) as answer:
            assert "['predict'] True second\n" in answer.read().decode()
        served.send_signal(signal.SIGTERM)
    assert served.returncode == 0


def test_the_format_of_a_real_deepaas_is_its_own(venv: Path):
    command = [sys.executable, "-m", "batchinfer", "local", "--deepaas", str(venv)]
    done = subprocess.run(
        [*command, "--deepaas-format", "2.5.1"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "--deepaas) has a format of its own" in done.stderr
