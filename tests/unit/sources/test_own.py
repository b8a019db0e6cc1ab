"""What batchinfer itself wrote or reads is never an item, however the way to it is spelled."""

import os
from pathlib import Path

import pytest

from batchinfer.artifacts import write_export_marker
from batchinfer.domain import Mode, RunInfo
from batchinfer.errors import SourceError
from batchinfer.sources import OwnFiles, Selection, open_source
from batchinfer.store.database import create_database

CONFIG = '[service]\nendpoint = "https://e.eu/run/x"\ntoken = "${OSCAR_TOKEN}"\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one photograph and all that batchinfer may have left in it."""
    top = tmp_path / "p"
    top.mkdir()
    (top / "a.jpg").write_bytes(b"x")
    (top / "settings.toml").write_text(CONFIG)
    (top / "batchinfer.env").write_text("export OSCAR_TOKEN=1\n")
    make_run(top / "deep" / "my-run")
    (top / "deep" / "my-run" / "outputs" / "1.png").write_bytes(b"x")
    export(top / "labels")
    header = "key,state,prediction,media_type,code,message,attempts,seconds,started_at,finished_at"
    (top / "results.csv").write_text(f"{header},path,params\na,succeeded,1,,,,1,1,,,a,\n")
    monkeypatch.chdir(top)
    return top


def make_run(directory: Path) -> None:
    create_database(directory, RunInfo("id", 0.0, Mode.SYNC, {}, ("x",)))
    (directory / "run.lock").touch()
    (directory / "outputs").mkdir()


def export(directory: Path) -> None:
    (directory / "images").mkdir(parents=True)
    (directory / "images" / "1.png").write_bytes(b"x")
    write_export_marker(directory, "yolo", "id")


def read(*specs, **options):
    source = open_source([str(spec) for spec in specs], **options)
    source.check()
    return [item.key for item in source], dict(source.taken_and_skipped[1])


def test_in_a_folder_all_of_it_is_skipped_and_counted(folder):
    assert read(".") == (["a.jpg"], {"batchinfer's own": 5})


def test_a_pattern_and_an_include_do_not_bring_it_back(folder):
    assert read("**/*.png")[0] == []
    named = Selection.of(include=["settings.toml", "run.db", "*.env", "my-run/**", "*.jpg"])
    assert read(".", selection=named)[0] == ["a.jpg"]


def test_it_is_known_through_links(folder):
    links = folder.parent / "links"
    links.mkdir()
    (links / "b.jpg").symlink_to(folder / "a.jpg")
    (links / "run").symlink_to(folder / "deep" / "my-run")
    (links / "outputs of another").symlink_to(folder / "deep" / "my-run" / "outputs")
    (links / "one.png").symlink_to(folder / "deep" / "my-run" / "outputs" / "1.png")
    (links / "labels").symlink_to(folder / "labels" / "images")
    (links / "conf").symlink_to(folder / "settings.toml")
    assert read(links) == (["b.jpg"], {"batchinfer's own": 5})


@pytest.mark.parametrize(
    "spelled", ["own", "./own/", "../p/own", "../p//./own", "link", "deep/../own", "../way/own"]
)
def test_the_directory_in_use_is_known_by_device_and_inode(folder, spelled):
    (folder / "own").mkdir()
    (folder / "own" / "some.jpg").write_bytes(b"x")  # nothing in it is known yet
    (folder / "link").symlink_to("own")
    (folder.parent / "way").symlink_to("p")
    keys, _ = read(folder, own_files=OwnFiles.of([spelled]))
    assert keys == ["a.jpg"]
    with pytest.raises(SourceError, match="written to now"):
        read("own", own_files=OwnFiles.of([spelled]))


def test_the_configuration_in_use_is_known_whatever_it_is_called_and_holds(folder):
    (folder / "half").write_text("nothing that could be recognized")
    (folder / "hard.png").hardlink_to(folder / "half")
    keys, _ = read(folder, own_files=OwnFiles.of(["../p/half"]))
    assert keys == ["a.jpg"]


@pytest.mark.parametrize(
    "spec",
    [
        "settings.toml",
        "as-file:settings.toml",
        "batchinfer.env",
        "deep/my-run",
        "deep/my-run/",
        "deep/my-run/outputs",
        "deep/my-run/outputs/*",
        "as-file:deep/my-run/run.db",
        "as-file:results.csv",
        "labels",
        "labels/images",
        "labels/images/1.png",
    ],
)
def test_what_is_named_is_refused_in_words(folder, spec):
    with pytest.raises(SourceError, match="never an input"):
        read(spec)


def test_of_several_named_files_all_that_are_refused_are_reported(folder):
    with pytest.raises(SourceError, match=r"(?s)settings\.toml.*batchinfer\.env"):
        read("a.jpg", "settings.toml", "batchinfer.env")


def test_lines_of_manifests_and_lists_are_refused_with_their_places(folder):
    names = ["a.jpg", "settings.toml", "deep/my-run/outputs/1.png", "labels/images/1.png"]
    (folder / "m.csv").write_text("path\n" + "".join(f"{name}\n" for name in names))
    (folder / "m.txt").write_text("".join(f"{name}\n" for name in names))
    for spec, first in (("m.csv", 2), ("files-from:m.txt", 1)):
        with pytest.raises(SourceError, match="3 mistakes") as raised:
            read(spec)
        for at, name in enumerate(names[1:], first + 1):
            assert f":{at}: {folder}/{name} is " in str(raised.value)
        with pytest.raises(SourceError, match="3 mistakes"):  # also when a run has begun
            open_source([spec]).check(may_be_missing=True)


def test_other_peoples_databases_tables_and_settings_are_inputs(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "run.db").write_bytes(b"SQLite format 3\0" + bytes(84))
    (other / "table.csv").write_text("key,path\n1,2\n")
    (other / "pyproject.toml").write_text('[project]\nname = "x"\n')
    (other / "env.txt").write_text("HOME=/x\n")
    (other / "outputs").mkdir()
    (other / "outputs" / "x.png").write_bytes(b"x")
    assert read(other)[0] == ["env.txt", "pyproject.toml", "run.db", "table.csv", "outputs/x.png"]


def test_what_cannot_be_looked_into_is_left_to_the_item(folder):
    (folder / "broken.toml").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.csv")
    assert read(folder)[0] == ["a.jpg", "broken.toml"]
