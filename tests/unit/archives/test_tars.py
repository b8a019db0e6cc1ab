"""Tars, compressed or not: links, damage, names, and in how many passes they are read."""

import gzip
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batchinfer.archives.archive_scheme import ArchiveScheme
from batchinfer.archives.archive_uris import make_archive_uri
from batchinfer.archives.forward_reader import ForwardReader
from batchinfer.archives.unpacked_stream import UnpackedStream
from batchinfer.inputs import InputTooLargeError, ListedInput, open_input
from support.archives import write_tar

KINDS = ["tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"]


def iter_listed(path: Path) -> Iterator[ListedInput]:
    return ArchiveScheme().list_inputs(make_archive_uri(str(path)))


def listed(path: Path) -> list[ListedInput]:
    return list(iter_listed(path))


def names(path: Path) -> list[str]:
    return [each.key for each in listed(path) if not each.skipped_as]


def read(path: Path, name: str) -> bytes:
    with closing(open_input(make_archive_uri(str(path), name))) as file:
        return file.read(file.size)


def test_only_files_are_taken_and_the_rest_is_counted(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (
            ("folder", tarfile.DIRTYPE),
            ("soft", tarfile.SYMTYPE),
            ("hard", tarfile.LNKTYPE),
            ("pipe", tarfile.FIFOTYPE),
            ("disk", tarfile.BLKTYPE),
            ("../up.jpg", tarfile.REGTYPE),
            ("./ok.jpg", tarfile.REGTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "ok.jpg"
            archive.addfile(member)
    found = listed(path)
    assert [each.key for each in found if not each.skipped_as] == ["ok.jpg"]
    assert [each.skipped_as for each in found] == [
        *("link", "link", "device", "device", "name that leads out of the archive", None)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_cut_off_says_so_and_what_is_there_is_read(tmp_path, kind):
    contents = {f"{n}.bin": os.urandom(60_000) for n in range(10)}
    path = write_tar(tmp_path / f"a.{kind}", contents)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    found: list[str] = []
    with pytest.raises(OSError, match=r"cut off|damaged"):
        found.extend(each.key for each in iter_listed(path))
    assert found == [f"{n}.bin" for n in range(len(found))]
    if kind not in {"tar.xz", "tar.bz2"}:  # which are unpacked in large blocks
        assert len(found) >= 4
        assert read(path, "2.bin") == contents["2.bin"]
        with pytest.raises(OSError, match=r"cut off|damaged"):
            read(path, found[-1])


@pytest.mark.parametrize("at", [0, 1])
def test_a_damaged_header_is_no_end(tmp_path, at):
    """`tarfile` itself takes it for the end of the archive, and leaves out what follows."""
    path = write_tar(tmp_path / "a.tar", {f"{n}.bin": b"x" * 512 for n in range(5)})
    data = bytearray(path.read_bytes())
    data[at * 1024 + 150] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"no tar|damaged"):
        listed(path)


def test_an_end_without_its_mark_is_said(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"a.bin": b"x" * 512, "b.bin": b"y" * 512})
    path.write_bytes(path.read_bytes()[:2048])
    with pytest.raises(OSError, match="without the mark of its end"):
        listed(path)


def test_a_header_that_wants_all_memory_is_damage(tmp_path):
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    path = tmp_path / "a.tar"
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))
    with pytest.raises(OSError, match="a header in it has"):
        listed(path)


def test_a_chain_of_headers_ends(tmp_path):
    header = tarfile.TarInfo("././@LongLink")
    header.type = tarfile.GNUTYPE_LONGNAME
    path = tmp_path / "a.tar"
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) * 5_000)
    with pytest.raises(OSError, match="no tar"):
        listed(path)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_and_odd_names(tmp_path, form):
    wanted = ["d/" * 100 + "a.jpg", "Ünï/写真.jpg", os.fsdecode(b"caf\xe9.jpg")]
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz", format=form) as archive:
        for name in wanted:
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
    assert names(path) == wanted
    assert [read(path, name) for name in wanted] == [b"x", b"x", b"x"]


def test_a_sparse_file_is_not_sent_as_something_else(tmp_path):
    holes = tmp_path / "holes.bin"
    with holes.open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    os.system(f"tar -C {tmp_path} --sparse -cf {tmp_path}/a.tar holes.bin")
    with pytest.raises(OSError, match="sparse"):
        read(tmp_path / "a.tar", "holes.bin")


def test_a_stream_that_unpacks_without_end_is_given_up(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(bytes(64 << 20), 9))
    stream = UnpackedStream(str(path), free_bytes=1 << 20)
    with pytest.raises(InputTooLargeError, match="decompression bomb"):
        stream.seek(64 << 20)
    assert stream.tell() < 32 << 20


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> tuple[Path, bytes]:
    data = os.urandom(40 << 20)
    path = tmp_path_factory.mktemp("packed") / "stream.gz"
    path.write_bytes(gzip.compress(data, 1))
    return path, data


def test_in_order_and_nearly_so_one_pass_is_enough(packed):
    path, data = packed
    reader = ForwardReader(str(path))
    size = 1 << 20
    places = [place * size for place in range(40)]
    for first in range(0, 40, 4):  # as several threads ask
        places[first : first + 4] = reversed(places[first : first + 4])
    for place in places:
        assert reader.read_range(place, size).read() == data[place : place + size]
    assert reader.pass_count == 1


def test_what_lies_far_back_takes_one_more_pass_for_all_of_it(packed):
    path, data = packed
    reader = ForwardReader(str(path))
    for place in [*range(0, 35 << 20, 5 << 20)]:
        reader.read_range(place, 1000)
        if place >= 20 << 20:  # retries of the first ones, while the run goes on
            back = place - (20 << 20)
            assert reader.read_range(back, 1000).read() == data[back : back + 1000]
    assert reader.pass_count == 2


def test_a_large_file_is_kept_on_the_disk(packed):
    path, data = packed
    with ForwardReader(str(path)).read_range(5, 39 << 20) as file:
        assert not isinstance(file, io.BytesIO)
        assert file.read() == data[5 : 5 + (39 << 20)]
