"""Several files of one reply: one archive, on record, verified, exported, merged."""

import asyncio
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.domain import OutputFile
from batchinfer.store.output_archive import (
    extract_members,
    is_own_archive,
    list_members_of_output,
    make_archive,
)
from batchinfer.store.sqlite import SqliteStore
from batchinfer.store.verification import verify_run
from support.records import INFO, item, reply

FILES = (OutputFile("output.json", b'{"n": 1}'), OutputFile("output/a/b.png", b"png"))


def make(run: Path, keys=("a.jpg", "b.jpg", "c.jpg")) -> Path:
    """A run: data with files beside it, an archive, and a zip that the service returned."""

    async def fill() -> None:
        async with SqliteStore.create(run, INFO) as store:
            await store.add([item(key) for key in keys])
            await store.commit_records(
                [
                    reply(1, prediction={"n": 1}, files=FILES),
                    reply(2, prediction=None, media_type="application/zip", files=FILES[1:]),
                    reply(3, prediction=None, media_type="application/zip", data=their_zip()),
                ]
            )
            await store.mark_source_complete()

    asyncio.run(fill())
    return run


def their_zip() -> bytes:
    written = BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("../../escape.txt", "x")
    return written.getvalue()


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_archive_is_always_the_same_and_tells_what_is_in_it(tmp_path):
    path = tmp_path / "outputs" / "1-1.zip"
    path.parent.mkdir()
    path.write_bytes(make_archive(FILES))
    assert make_archive(FILES) == path.read_bytes()
    members = list_members_of_output(tmp_path, "outputs/1-1.zip")
    assert list(members) == [("output.json", 8), ("output/a/b.png", 3)]
    for other in (None, "outputs/2-1.zip", "../outputs/1-1.zip", "outputs/1-1.png", "/etc/passwd"):
        assert list_members_of_output(tmp_path, other) == []
    assert is_own_archive(path)
    (tmp_path / "b.zip").write_bytes(their_zip())
    (tmp_path / "c.zip").write_bytes(b"no zip")
    assert not is_own_archive(tmp_path / "b.zip")
    assert not is_own_archive(tmp_path / "c.zip")


@pytest.mark.parametrize(
    "name",
    ["../../a", "/etc/passwd", "a/../../b", "c:\\a", "..", "", ".", "a\0b", "\ud800", "a" * 999],
)
def test_no_name_leads_out_of_the_folder(name, tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(make_archive([OutputFile(name, b"x"), OutputFile(name.upper(), b"y")]))
    folder = tmp_path / "in" / "here"
    names = list(extract_members(path, folder))
    assert len({each.casefold() for each in names}) == 2
    assert set(content(folder).values()) == {b"x", b"y"}
    assert set(content(tmp_path)) == {"a.zip", *(f"in/here/{each}" for each in names)}


def test_a_zip_with_our_mark_that_is_not_ours_is_none(tmp_path):
    written = BytesIO(make_archive(FILES))
    with zipfile.ZipFile(written, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", b"\0" * 10_000)
    (tmp_path / "a.zip").write_bytes(written.getvalue())
    assert not is_own_archive(tmp_path / "a.zip")


def test_the_prediction_is_data_and_the_files_are_beside_it(tmp_path):
    run = make(tmp_path / "run")
    assert [result.prediction for result in bi.results(run)] == [
        {"n": 1},
        "outputs/2-1.zip",
        "outputs/3-1.zip",
    ]
    assert sorted(path.name for path in (run / "outputs").iterdir()) == [
        "1-1.zip",
        "2-1.zip",
        "3-1.zip",
    ]
    assert verify_run(run) == ()


@pytest.mark.parametrize("number", [1, 2])
def test_a_damaged_archive_is_found_and_not_exported(number, tmp_path):
    run = make(tmp_path / "run")
    path = run / "outputs" / f"{number}-1.zip"
    path.write_bytes(path.read_bytes().replace(b"png", b"gnp"))
    (damage,) = verify_run(run)
    assert f"outputs/{number}-1.zip" in str(damage)


def test_every_file_is_exported_by_name_and_a_zip_of_the_service_as_it_is(tmp_path):
    run = make(tmp_path / "run")
    bi.export(run, tmp_path / "out", format="files")
    exported = content(tmp_path / "out")
    assert exported["a.jpg.json"] == b'{"n":1}'
    assert exported["a.jpg.files/output.json"] == b'{"n": 1}'
    assert exported["a.jpg.files/output/a/b.png"] == b"png"
    assert exported["b.jpg.files/output/a/b.png"] == b"png"
    assert exported["c.jpg.zip"] == their_zip()
    assert "b.jpg.files" in exported["index.csv"].decode()


def test_the_crate_holds_the_archives(tmp_path):
    run = make(tmp_path / "run")
    bi.export(run, tmp_path / "crate", format="ro-crate")
    assert {"outputs/1-1.zip", "outputs/2-1.zip", "outputs/3-1.zip"} <= set(
        content(tmp_path / "crate")
    )


def test_archives_go_along_when_runs_are_merged(tmp_path):
    one, two = make(tmp_path / "one"), make(tmp_path / "two", ("d.jpg", "e.jpg", "f.jpg"))
    bi.merge([one, two], tmp_path / "both")
    assert verify_run(tmp_path / "both") == ()
    assert [result.prediction for result in bi.results(tmp_path / "both")] == [
        {"n": 1},
        "outputs/2-1.zip",
        "outputs/3-1.zip",
        {"n": 1},
        "outputs/5-1.zip",
        "outputs/6-1.zip",
    ]
    assert (tmp_path / "both" / "outputs" / "4-1.zip").read_bytes() == make_archive(FILES)
