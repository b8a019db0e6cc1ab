import stat

import pytest

from batchinfer.atomic_files import create_private_file, replace_file


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("private", [False, True])
def test_a_file_is_replaced_when_it_is_complete(tmp_path, private):
    target = tmp_path / "x"
    target.write_bytes(b"older")
    with replace_file(target, private=private, durable=True) as file:
        file.write(b"new")
        assert target.read_bytes() == b"older"
    assert target.read_bytes() == b"new"
    assert (mode(target) == 0o600) is private
    assert list(tmp_path.iterdir()) == [target]


def test_after_an_error_the_older_file_stays(tmp_path):
    target = tmp_path / "x"
    target.write_bytes(b"older")
    with pytest.raises(TypeError), replace_file(target) as file:
        file.writelines([b"half", "no bytes"])
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"]


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path):
    (tmp_path / ".x.part").write_bytes(b"half of something long")
    with replace_file(tmp_path / "x") as file:
        file.write(b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


def test_a_private_file_is_new_and_its_owners_alone(tmp_path):
    create_private_file(tmp_path / "x", "secret")
    assert mode(tmp_path / "x") == 0o600
    with pytest.raises(FileExistsError):
        create_private_file(tmp_path / "x", "other")
    assert (tmp_path / "x").read_text() == "secret"


def test_a_private_file_that_cannot_be_written_is_gone(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        create_private_file(tmp_path / "x", "\ud800")
    assert list(tmp_path.iterdir()) == []
