"""Whether a source is there, when one of its files is not."""

from pathlib import Path

import pytest

from batchinfer.sources.source_presence import SourcePresence, find_root_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "disk" / "photos"
    for sub in ("a", "b"):
        (source / sub).mkdir(parents=True)
        for number in range(5):
            (source / sub / f"{number}.png").write_bytes(b"x")
    return source


def known(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.rglob("*.png"))]


def test_one_file_that_is_gone_is_not_an_outage(folder: Path):
    others = known(folder)
    presence = SourcePresence([str(folder)])
    Path(others[0]).unlink()
    assert presence.explain_absence(others[0], others) is None


def test_nor_is_a_folder_below_the_source(folder: Path):
    others = known(folder)
    presence = SourcePresence([str(folder)])
    for path in (folder / "a").iterdir():
        path.unlink()
    (folder / "a").rmdir()
    assert presence.explain_absence(others[0], others) is None


@pytest.mark.parametrize("what", ["gone", "empty", "a file", "others"])
def test_a_folder_that_is_not_what_it_was_is_one(folder: Path, what: str):
    others = known(folder)
    presence = SourcePresence([str(folder)])
    folder.rename(folder.with_name("elsewhere"))
    match what:
        case "empty":
            folder.mkdir()
        case "a file":
            folder.write_bytes(b"x")
        case "others":
            folder.mkdir()
            (folder / "readme.txt").write_text("another disk")
    assert str(folder) in (presence.explain_absence(others[0], others) or "")


def test_so_is_a_pattern_whose_folder_is_gone(folder: Path):
    others = known(folder)
    presence = SourcePresence([f"{folder}/**/*.png"])
    folder.rename(folder.with_name("elsewhere"))
    assert "is not there" in (presence.explain_absence(others[0], others) or "")


def test_of_two_sources_only_the_one_counts_that_the_file_is_in(folder: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    paths = [str(other / f"{number}.png") for number in range(5)]
    for path in paths:
        Path(path).write_bytes(b"x")
    presence = SourcePresence([str(folder), str(other)])
    everything = known(folder) + paths
    folder.rename(folder.with_name("elsewhere"))
    assert presence.explain_absence(everything[0], everything)
    Path(paths[0]).unlink()
    assert presence.explain_absence(paths[0], everything) is None


def test_a_link_that_leads_nowhere_is_an_outage(folder: Path, tmp_path: Path):
    target = tmp_path / "another disk"
    target.mkdir()
    (folder / "linked").symlink_to(target)
    lost = str(folder / "linked" / "x.png")
    presence = SourcePresence([str(folder)])
    assert presence.explain_absence(lost, known(folder)) is None
    target.rmdir()
    assert "leads nowhere" in (presence.explain_absence(lost, known(folder)) or "")


def test_of_a_list_a_whole_folder_that_is_gone_is_one(folder: Path, tmp_path: Path):
    manifest = str(tmp_path / "list.csv")
    others = known(folder)
    presence = SourcePresence([manifest])
    Path(others[0]).unlink()
    assert presence.explain_absence(others[0], others) is None
    (folder / "b").rename(tmp_path / "moved")
    assert "is not there" in (presence.explain_absence(others[7], others) or "")
    assert presence.explain_absence(others[0], others) is None


def test_a_source_that_is_away_at_the_start_may_come_back(folder: Path):
    others = known(folder)
    folder.rename(folder.with_name("elsewhere"))
    presence = SourcePresence([str(folder)])
    assert presence.explain_absence(others[0], others)
    folder.with_name("elsewhere").rename(folder)
    assert presence.explain_absence(others[0], others) is None


def test_which_folder_a_spec_names(tmp_path: Path):
    assert find_root_folder(str(tmp_path)) == str(tmp_path)
    assert find_root_folder(f"{tmp_path}/gone") == f"{tmp_path}/gone"
    assert find_root_folder(f"{tmp_path}/*.png") == str(tmp_path)
    assert find_root_folder("-") is None
    assert find_root_folder(f"{tmp_path}/gone.csv") is None
    assert find_root_folder(f"{tmp_path}/./a.png") is None
