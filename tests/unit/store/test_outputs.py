import pytest

from batchinfer.store.output_files import make_output_name, write_outputs
from batchinfer.store.sqlite import SqliteStore
from support.records import INFO, page, reply, submitted

pytestmark = pytest.mark.event_loops("asyncio", "trio")

NAMES = {
    "image/png": "outputs/7-2.png",
    "IMAGE/JPEG": "outputs/7-2.jpg",
    "text/csv; charset=utf-8": "outputs/7-2.csv",
    "application/zip": "outputs/7-2.zip",
    "application/octet-stream": "outputs/7-2.bin",
    "../../etc/passwd": "outputs/7-2.bin",
    "": "outputs/7-2.bin",
}


@pytest.mark.parametrize(("media_type", "name"), NAMES.items())
def test_outputs_are_named_by_position_attempt_and_type(media_type, name):
    assert make_output_name(7, 2, media_type) == name


def test_outputs_appear_whole_and_replace_what_a_kill_left(tmp_path):
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / ".1-1.png.part").write_bytes(b"half")
    (tmp_path / "outputs" / "1-1.png").write_bytes(b"of an attempt that was never recorded")
    write_outputs(tmp_path, [("outputs/1-1.png", b"one"), ("outputs/2-1.bin", b"")])
    found = {path.name: path.read_bytes() for path in (tmp_path / "outputs").iterdir()}
    assert found == {"1-1.png": b"one", "2-1.bin": b""}


def test_without_outputs_nothing_is_made(tmp_path):
    write_outputs(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


async def test_only_bytes_that_count_become_files(tmp_path):
    async with SqliteStore.create(tmp_path / "run", INFO) as store:
        await store.add(page(3))
        png = {"prediction": None, "data": b"png", "media_type": "image/png"}
        await store.commit_records([reply(1, **png), reply(1, 2, **png), reply(2), submitted(3)])
        await store.commit_records([reply(2, 2, **png)])
        assert [path.name for path in (tmp_path / "run" / "outputs").iterdir()] == ["1-1.png"]
