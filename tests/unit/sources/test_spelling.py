"""Names that look the same: the file is found under the other normal form of Unicode."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.errors import SourceError
from batchinfer.sources import open_source
from batchinfer.sources.input_files import find_on_disk, key_to_name, name_to_key
from batchinfer.text_format import escape_undecodable

NAME = "Müller_é.png"
NFC, NFD = unicodedata.normalize("NFC", NAME), unicodedata.normalize("NFD", NAME)
FORMS = [(NFC, NFD), (NFD, NFC)]


def tells_forms_apart(folder: Path) -> bool:
    (folder / NFC).touch()
    found = not (folder / NFD).exists()
    (folder / NFC).unlink()
    return found


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    if not tells_forms_apart(tmp_path):
        pytest.skip("this file system takes both forms for one name")
    monkeypatch.chdir(tmp_path)


def plant(name: str, content: bytes = b"x") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("stored", "typed"), FORMS)
def test_a_manifest_and_a_list_find_a_file_under_its_other_form(tmp_path, stored, typed):
    plant(f"{stored}/{stored}")
    Path("m.csv").write_text(f"path\n{typed}/{typed}\n")
    Path("m.txt").write_text(f"{typed}/{typed}\n")
    Path("m.jsonl").write_text(f'"{typed}/{typed}"\n')
    for spec in ("m.csv", "files-from:m.txt", "m.jsonl"):
        source = open_source([spec])
        source.check()
        (item,) = source
        assert item.key == f"{typed}/{typed}"  # as written: a line keeps its name
        assert item.files[0].path == f"{tmp_path}/{stored}/{stored}"
        assert item.files[0].size == 1


@pytest.mark.parametrize(("stored", "typed"), FORMS)
def test_a_named_file_and_a_named_folder_have_the_keys_of_the_disk(stored, typed):
    plant(stored)
    plant(f"d/{stored}/{stored}")
    assert [item.key for item in open_source([typed])] == [stored]
    assert [item.key for item in open_source([f"d/{typed}"])] == [stored]
    assert [item.key for item in open_source(["d/" + typed[:1] + "*/*.png"])] == [
        f"{stored}/{stored}"
    ]


def test_two_files_that_differ_only_in_their_form_stay_two(tmp_path):
    plant(f"p/{NFC}", b"1")
    plant(f"p/{NFD}", b"22")
    assert {item.key for item in open_source(["p"])} == {NFC, NFD}
    Path("m.csv").write_text(f"path\np/{NFC}\np/{NFD}\n")
    source = open_source(["m.csv"])
    source.check()
    assert [item.files[0].size for item in source] == [1, 2]
    assert [item.files[0].size for item in open_source([f"p/{NFD}"])] == [2]


def test_bytes_that_are_no_utf8_are_found_as_they_are_spelled_in_keys(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        Path(os.fsdecode(raw)).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system refuses such names")
    assert os.fsencode(find_on_disk("caf\\xe9.png", str(tmp_path))) == raw
    Path("m.csv").write_text("path\ncaf\\xe9.png\n")
    source = open_source(["m.csv"])
    source.check()
    assert [item.files[0].size for item in source] == [1]
    (tmp_path / "caf\\xe9.png").write_bytes(b"22")  # the very name wins
    assert [item.files[0].size for item in source] == [2]


def test_what_is_there_under_no_form_is_missing():
    with pytest.raises(SourceError, match="no such file"):
        open_source([NFC])
    assert find_on_disk(f"/nowhere/{NFC}") == f"/nowhere/{NFC}"


def test_a_byte_and_the_text_that_spells_it_are_two_keys(tmp_path):
    top = tmp_path / "p"
    top.mkdir()
    names = [b"\xff.png", b"\\xff.png", b"\\\\xff.png", b"\\\xff.png", b"\\x41.png", b"\\a.png"]
    for at, name in enumerate(names, 1):
        try:
            Path(os.fsdecode(os.fsencode(top) + b"/" + name)).write_bytes(bytes(at))
        except OSError:
            pytest.skip("this file system refuses such names")
    sizes = {item.key: item.files[0].size for item in open_source(["p"])}
    assert sizes == {
        r"\xff.png": 1,
        r"\\xff.png": 2,
        r"\\\\xff.png": 3,
        r"\\\xff.png": 4,
        r"\x41.png": 5,
        r"\a.png": 6,
    }


@given(st.binary(), st.binary())
def test_every_name_has_a_key_of_its_own_that_can_be_written(one, other):
    def text(raw: bytes) -> str:
        return raw.replace(b"a", b"\\").replace(b"b", b"\\xff").decode("utf-8", "surrogateescape")

    names = {text(one), text(other)}
    keys = {name_to_key(name) for name in names}
    assert len(keys) == len(names)
    assert {key_to_name(key) for key in keys} == names
    assert all(escape_undecodable(key) == key for key in keys)
