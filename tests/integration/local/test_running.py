"""The local service as a program: what it prints, what it hides, how it ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from aiohttp import ClientError
from click.testing import CliRunner

from batchinfer.cli.local_command import local as command
from batchinfer.errors import ConfigError
from batchinfer.local.service_connection import LocalBucketAccess, ServiceConnection
from batchinfer.local.service_options import InjectedFault, LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.local_service import call, service, until

TOKEN = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"token": "short"}, "64 hexadecimal digits"),
        ({"script": "a.sh", "threads": True}, "a script is what runs"),
        ({"script": "a.sh", "model": "faces"}, "a script is what runs"),
        ({"supervisor_venv": "venv"}, "name one with --script"),
        ({"deepaas": "2.4.0"}, "2.5.1, 2.5.2, 2.6.0"),
        ({"containers": 0}, "at least one container"),
        ({"name": "Not Good"}, "a-z, 0-9"),
        ({"secret_key": 'a,"b'}, "cannot hold commas"),
        ({"kill_models": 1.5}, "between 0 and 1"),
        ({"fail_with": (InjectedFault("503", 2.0),)}, "between 0 and 1"),
        ({"fail_with": (InjectedFault("999", 0.1),)}, "cannot fail with 999; known are 400"),
        ({"command": "true", "threads": True}, "in a process of its own"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object], said: str):
    with pytest.raises(ConfigError, match=said):
        LocalServiceOptions(**wrong)


def test_options_survive_a_pipe():
    options = LocalServiceOptions(
        fail_with=(InjectedFault("502/nginx", 0.1),), data="x", seed=3, scale_to_zero=1.0
    )
    assert LocalServiceOptions.from_json(options.to_json()) == options


def test_secrets_do_not_show_in_a_repr():
    options = LocalServiceOptions(token=TOKEN, secret_key="hush")
    access = LocalBucketAccess("http://x", "n", "k", "hush", "r")
    shown = repr(options) + repr(access) + repr(ServiceConnection("http://x", TOKEN, access))
    assert TOKEN not in shown
    assert "hush" not in shown


def test_the_config_it_prints_is_toml():
    access = LocalBucketAccess("http://127.0.0.1:1", "local", "k@x", "s", "us-east-1")
    text = ServiceConnection("http://127.0.0.1:1/run/local", TOKEN, access).to_toml()
    assert tomllib.loads(text) == {
        "service": {"endpoint": "http://127.0.0.1:1/run/local", "token": TOKEN},
        "bucket": {
            "endpoint": "http://127.0.0.1:1",
            "name": "local",
            "access_key": "k@x",
            "secret_key": "s",
            "region": "us-east-1",
        },
    }


def _processes_with(text: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


linux = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads /proc")


@linux
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_the_s3_server_ends_with_the_service(how: str, tmp_path: Path):
    data = str(tmp_path / "data")
    with service(data=data) as local:
        servers = _processes_with(data)
        assert len(servers) == 1
        assert getattr(local, how)() == (0 if how == "stop" else None)

        async def gone() -> bool:
            return not _processes_with(data)

        await until(gone)


async def test_nothing_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with service() as local:
        assert (await call(local.connection, b"{}"))[0] == 200
        assert _entries(tmp_path)
    assert _entries(tmp_path) == []


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@linux
def test_no_command_line_shows_a_secret():
    with service(token=TOKEN, secret_key="hush-hush-hush"):
        assert not _processes_with(TOKEN)
        assert not _processes_with("hush-hush-hush")


async def test_a_busy_service_ends_at_once():
    with service(threads=False, model="local_model:predict") as local:
        async with anyio.create_task_group() as tasks:

            async def busy() -> bool:
                return bool(local.read_stats())

            async def one() -> None:
                with suppress(ClientError):
                    await call(local.connection, b'{"mode": "sleep", "rng": 600}')

            tasks.start_soon(one)
            await until(busy)
            assert await anyio.to_thread.run_sync(local.stop) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "nowhere:model"}, "there is no model 'nowhere:model'"),
        ({"model": "nowhere:model", "threads": True}, "there is no model 'nowhere:model'"),
        ({"model": "nothing"}, "there is no model 'nothing'"),
    ],
)
def test_a_model_that_is_not_there_is_said_at_once(options: dict[str, object], said: str, capfd):
    with (
        pytest.raises(RuntimeError, match="exit status 2"),
        start_service(LocalServiceOptions(**options)),
    ):
        pass
    assert said in capfd.readouterr().err


def test_a_port_that_is_taken_is_said_at_once(capfd):
    with service() as local:
        with pytest.raises(RuntimeError, match="exit status 2"), start_service(local.options):
            pass
        assert f"cannot listen on port {local.options.port}" in capfd.readouterr().err


def test_the_command_serves_until_a_signal_and_writes_a_private_config(tmp_path: Path):
    config = tmp_path / "sub" / "local.toml"
    flags = (
        "--threads --json --fail-with 503:0.1 --fail-with 502/nginx:0.2 --slow 0.1:2 --seed 3 "
        "--deepaas-format 2.6.0 --auth-key key,secret --config-out"
    )
    program = "from batchinfer.cli.local_command import local; local()"
    with subprocess.Popen(
        [sys.executable, "-c", program, *flags.split(), str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"BATCHINFER_LOCAL_TOKEN": TOKEN},
        text=True,
    ) as process:
        assert process.stdout is not None
        connection = ServiceConnection.from_json(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=30)
    assert (process.returncode, rest) == (0, "")
    assert connection.token == TOKEN
    assert tomllib.loads(config.read_text())["bucket"]["secret_key"] == "secret"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert TOKEN not in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--token bad", "64 hexadecimal digits"),
        ("--fail-with 999:0.1", "cannot fail with 999"),
        ("--fail-with often", "not STATUS:RATE"),
        ("--slow often", "not P:SECONDS"),
        ("--lose-events 2", "0<=x<=1"),
        ("--deepaas-format 1.0", "2.5.1"),
    ],
)
def test_the_command_refuses_what_cannot_be(arguments: str, said: str):
    result = CliRunner().invoke(command, arguments.split())
    assert result.exit_code == 2
    assert said in result.output
