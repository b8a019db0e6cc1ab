"""Finding a cluster: what is said when there is none."""

import re
import socket
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute

from batchinfer.cluster.dask_connection import ClusterAddress, open_dask_transport
from batchinfer.config import ClusterSettings, load_config, resolve_run_settings
from batchinfer.errors import ConfigError
from support.http_calls import TOKEN

pytestmark = pytest.mark.event_loops("asyncio")

SERVICE = {"service.endpoint": "https://service.example/run/a", "service.token": TOKEN}


def resolve(**flags: object) -> ClusterSettings | None:
    given = {f"cluster.{name}": value for name, value in flags.items()}
    return resolve_run_settings(load_config(None, {}, SERVICE | given), {}).cluster


async def open_at(**place: object) -> None:
    async with open_dask_transport(ClusterAddress(**place)):
        pass


def test_without_a_word_attempts_are_made_here():
    assert resolve() is None
    assert resolve(on="none", workers=3) is None
    assert resolve(lease="10s") is None


def test_any_key_that_names_a_cluster_is_enough():
    assert resolve(on="dask") == ClusterSettings()
    assert resolve(workers="3") == ClusterSettings(workers=3)
    assert resolve(scheduler="tcp://10.0.0.1:8786").scheduler == "tcp://10.0.0.1:8786"
    assert resolve(scheduler_file="dask.json").scheduler_file == str(Path("dask.json").absolute())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"scheduler": "tcp://a:1", "scheduler_file": "b"}, "both name a cluster"),
        ({"scheduler": "tcp://a:1", "workers": "2"}, "it goes without a scheduler"),
        ({"on": "spark"}, '"dask" or "none"'),
    ],
)
def test_what_contradicts_itself_is_refused(flags, message: str):
    with pytest.raises(ConfigError, match=re.escape(message)):
        resolve(**flags)


async def test_a_scheduler_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"dask.json: there is no such file. `dask scheduler"):
        await open_at(scheduler_file=str(tmp_path / "dask.json"))


async def test_a_file_that_is_none_of_a_scheduler_is_told(tmp_path: Path):
    (tmp_path / "dask.json").write_text("[]")
    with pytest.raises(ConfigError, match="is not a file that `dask scheduler` has written"):
        await open_at(scheduler_file=str(tmp_path / "dask.json"))


@pytest.mark.parametrize("address", ["nonsense://x", "tcp://127.0.0.1:{port}"])
async def test_a_scheduler_that_does_not_answer_is_named(address: str):
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        place = address.format(port=bound.getsockname()[1])
        with pytest.raises(ConfigError, match="does not answer") as error:
            await open_at(scheduler=place, connect_seconds=0.5)
    assert place in str(error.value)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64, b"x"])
async def test_what_is_no_scheduler_is_told(said: bytes):
    async def answer(stream) -> None:
        async with stream:
            await stream.send(said)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        place = f"tcp://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, answer)
            with pytest.raises(ConfigError, match=re.escape(place)):
                await open_at(scheduler=place, connect_seconds=2)
            group.cancel_scope.cancel()
