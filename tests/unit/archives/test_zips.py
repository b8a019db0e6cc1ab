"""Zips as programs of all kinds write them, and as those who mean harm do."""

import errno
import io
import os
import stat
import struct
import tracemalloc
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from batchinfer.archives.archive_scheme import ArchiveScheme
from batchinfer.archives.archive_uris import make_archive_uri
from batchinfer.archives.member_names import decode_zip_name
from batchinfer.inputs import InputTooLargeError, ListedInput, open_input
from batchinfer.sources import open_source
from support.archives import write_zip


def listed(path: Path) -> list[ListedInput]:
    return list(ArchiveScheme().list_inputs(make_archive_uri(str(path))))


def names(path: Path) -> list[str]:
    return [each.key for each in listed(path) if not each.skipped_as]


def read(path: Path, name: str) -> bytes:
    with closing(open_input(make_archive_uri(str(path), name))) as file:
        return file.read(file.size)


def patched(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data
    assert len(old) == len(new)
    path.write_bytes(data.replace(old, new))
    return path


def test_names_that_lead_out_are_not_taken(tmp_path):
    wanted = ["../a.jpg", "/etc/b.jpg", "c/../../d.jpg", "C:/e.jpg", "ok.jpg", "./f//g.jpg"]
    contents = dict.fromkeys(wanted, b"x")
    path = write_zip(tmp_path / "a.zip", contents)
    assert names(path) == ["ok.jpg", "f/g.jpg"]
    assert [each.skipped_as for each in listed(path)].count(
        "name that leads out of the archive"
    ) == 4


def test_links_and_devices_are_skipped_and_counted(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in (("link", stat.S_IFLNK), ("pipe", stat.S_IFIFO), ("file", stat.S_IFREG)):
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode | 0o644) << 16
            archive.writestr(info, "a.jpg")
        archive.mkdir("folder")
    assert [each.skipped_as for each in listed(path)] == ["link", "device", None]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_files_of_one_name_are_numbered(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(["a.jpg", "a.jpg", "a (2).jpg", "a.jpg", "b", "b"]):
            archive.writestr(name, str(number))
    found = names(path)
    assert found == ["a.jpg", "a (2).jpg", "a (2) (2).jpg", "a (3).jpg", "b", "b (2)"]
    assert [read(path, name) for name in found] == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_a_password_is_said_of_the_archive_or_of_the_file(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"secret.jpg": b"x" * 50, "open.jpg": b"y"})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(data)
    scheme = ArchiveScheme()
    scheme.check(make_archive_uri(str(path)))
    assert read(path, "open.jpg") == b"y"
    with pytest.raises(PermissionError, match="password"):
        read(path, "secret.jpg")
    at = data.index(b"PK\x01\x02", at + 4)
    data[at + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(PermissionError, match="password"):
        scheme.check(make_archive_uri(str(path)))


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_a_zip_that_was_cut_off_is_known_at_once(tmp_path, keep):
    path = write_zip(tmp_path / "a.zip", {f"{n}.jpg": os.urandom(1000) for n in range(20)})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(OSError, match="its end is missing"):
        ArchiveScheme().check(make_archive_uri(str(path)))


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_damaged_bytes_are_never_handed_out(tmp_path, method):
    text = b"some text that is compressed " * 100
    path = write_zip(tmp_path / "a.zip", {"a.txt": text, "b.txt": b"intact"}, method)
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(OSError, match="damaged") as raised:
        read(path, "a.txt")
    assert raised.value.errno == errno.EBADMSG  # which is not tried again
    assert read(path, "b.txt") == b"intact"


def test_a_file_that_is_said_to_be_smaller_than_it_is_is_damaged(tmp_path):
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = write_zip(tmp_path / "a.zip", {"a.bin": bytes(20_000_000)}, method)
        patched(path, struct.pack("<L", 20_000_000), struct.pack("<L", 1_000))
        with pytest.raises(OSError, match="checksum"):
            read(path, "a.bin")


def test_a_bomb_is_not_unpacked(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"bomb.bmp": bytes(70 << 20), "empty.bmp": bytes(1 << 20)})
    with pytest.raises(InputTooLargeError, match="decompression bomb"):
        read(path, "bomb.bmp")
    assert read(path, "empty.bmp") == bytes(1 << 20)


def test_an_archive_in_an_archive_is_a_file(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", {"a.jpg": b"a"}).read_bytes()
    path = write_zip(tmp_path / "a.zip", {"inner.zip": inner}, zipfile.ZIP_STORED)
    assert names(path) == ["inner.zip"]
    assert read(path, "inner.zip") == inner


def test_zip64_and_a_program_before_the_zip_are_read(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("big.bin", "w", force_zip64=True) as file:
            file.write(b"content" * 100)
        archive.comment = b"PK\x05\x06 in a comment"
    assert read(path, "big.bin") == b"content" * 100
    path.write_bytes(b"#!/bin/sh\n" * 50 + path.read_bytes())
    assert read(path, "big.bin") == b"content" * 100


@pytest.mark.slow
def test_a_directory_of_zip64_with_more_than_65535_files(tmp_path):
    path = write_zip(tmp_path / "a.zip", {f"{n}.txt": b"" for n in range(70_000)})
    found = names(path)
    assert (len(found), found[-1]) == (70_000, "69999.txt")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_files(tmp_path):
    peaks = []
    for count in (1_000, 10_000):
        path = write_zip(tmp_path / f"{count}.zip", {f"a long name {n}": b"" for n in range(count)})
        tracemalloc.start()
        assert sum(1 for _ in open_source([str(path)])) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1_500_000  # a block of the directory; a name of each would be 3 MB


def test_what_compresses_in_another_way_says_which(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.bin": b"x" * 1000})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 10] = 9
    path.write_bytes(data)
    with pytest.raises(OSError, match="Deflate64"):
        read(path, "a.bin")


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("写真.jpg".encode("cp932"), "写真.jpg"),
        ("さくら/花.png".encode("cp932"), "さくら/花.png"),
        ("テスト.tif".encode("cp932"), "テスト.tif"),
        ("Müller.jpg".encode("cp437"), "Müller.jpg"),
        ("été à Évry.jpg".encode("cp437", "replace"), None),
        ("naïve.jpg".encode("cp437"), "naïve.jpg"),
        ("Ünï/写真.jpg".encode(), "Ünï/写真.jpg"),
        (b"plain.jpg", "plain.jpg"),
    ],
)
def test_names_of_old_programs(raw, name):
    assert decode_zip_name(raw, is_utf8=False) == (name or raw.decode("cp437"))


def test_names_are_read_as_the_archive_says_they_are_encoded(tmp_path):
    path = tmp_path / "a.zip"
    raw = "さくら.jpg".encode("cp932")
    write_zip(path, {"x" * len(raw): b"x", "日本.jpg": b"y"})
    patched(path, b"x" * len(raw), raw)
    assert names(path) == ["さくら.jpg", "日本.jpg"]
    assert read(path, "さくら.jpg") == b"x"


def test_backslashes_of_windows_are_slashes(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a/b.jpg": b"x"})
    data = path.read_bytes().replace(b"a/b.jpg", b"a\\b.jpg")
    at = data.index(b"PK\x01\x02")
    path.write_bytes(data[: at + 5] + b"\0" + data[at + 6 :])
    assert names(path) == ["a/b.jpg"]


def test_streams_go_on_while_their_archive_is_replaced(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.bin": b"a" * 300_000}, zipfile.ZIP_STORED)
    uri = make_archive_uri(str(path), "a.bin")
    with closing(open_input(uri)) as file:
        first = file.read(100_000)
        write_zip(tmp_path / "new.zip", {"a.bin": b"b" * 300_000}).replace(path)
        assert first + file.read(200_000) == b"a" * 300_000
        assert file.has_changed()
    assert read(path, "a.bin") == b"b" * 300_000


def test_a_directory_that_lists_too_few_is_damaged(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a": b"1", "b": b"2"})
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    data[end + 8 : end + 12] = struct.pack("<2H", 3, 3)
    path.write_bytes(data)
    with pytest.raises(OSError, match="should list 3"):
        listed(path)
    assert io.BytesIO(data).read(2) == b"PK"
