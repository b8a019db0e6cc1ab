"""Files that a manifest names: what a listing of their folder decides, `find_fault` would, too."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.sources.input_files import find_fault
from batchinfer.sources.manifest_lines import ManifestEntry, batch_entries
from batchinfer.sources.named_files import FileChecker
from batchinfer.sources.own_files import OwnFiles

NAMES = (
    *(f"{number}.jpg" for number in range(20)),
    *("link.jpg", "dangling.jpg", "folder.jpg", "pipe.jpg", "missing.jpg"),
    *(
        "table.csv",
        "results.csv",
        "config.jpg",
        "batchinfer.jpg",
        "caf\u00e9.jpg",
        "cafe\u0301.jpg",
    ),
    *("with: colon.jpg", "\udcff.jpg", "\\xff.jpg", "UPPER.JPG", "nul\0.jpg", "s3://bucket/a.jpg"),
)
FOLDERS = (
    "",
    "a/",
    "./a//",
    "b/../a/",
    "linked/",
    "run/",
    "export/",
    "locked/",
    "nowhere/",
    "a:b/",
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Folders that hold the same files, of every kind; some of the folders are batchinfer's own."""
    base = tmp_path_factory.mktemp("desk")
    for folder in (".", "a", "b", "run", "export", "a:b"):
        (base / folder).mkdir(exist_ok=True)
        for number in range(20):
            (base / folder / f"{number}.jpg").touch()
        for name in (
            "table.csv",
            "config.jpg",
            "batchinfer.jpg",
            "caf\u00e9.jpg",
            "with: colon.jpg",
        ):
            (base / folder / name).touch()
        for name in ("\udcff.jpg", "UPPER.JPG"):
            (base / folder / name).touch()
        (base / folder / "results.csv").write_text(
            "key,state,code,message,attempts,seconds,started_at,finished_at\n"
        )
        (base / folder / "link.jpg").symlink_to("results.csv")
        (base / folder / "dangling.jpg").symlink_to("nowhere")
        (base / folder / "folder.jpg").mkdir()
        os.mkfifo(base / folder / "pipe.jpg")
    (base / "linked").symlink_to("run")
    (base / "export" / ".batchinfer-export").touch()
    return base


@pytest.fixture(scope="module")
def own_files(desk):
    return OwnFiles.of([str(desk / "run"), str(desk / "a" / "config.jpg")])


def entries_of(paths):
    return [ManifestEntry(line, path, (("files", path),), {}) for line, path in enumerate(paths, 1)]


def checked(desk, own_files, entries, **options):
    with ThreadPoolExecutor(2) as pool:
        checker = FileChecker(str(desk), own_files, pool, **options)
        return sorted(
            fault
            for at in range(0, len(entries), 50)
            for batch in [batch_entries(entries[at : at + 50])]
            for fault in checker.find_faults(batch.paths, batch.path_lines)
        )


def expected(desk, own_files, entries, *, may_be_missing=False):
    return sorted(
        (entry.line, fault)
        for entry in entries
        for _, path in entry.files
        if (fault := find_fault(str(desk), path, own_files, may_be_missing=may_be_missing))
    )


@pytest.mark.parametrize("may_be_missing", [False, True])
def test_every_file_is_judged_as_if_it_were_the_only_one(desk, own_files, may_be_missing):
    entries = entries_of(folder + name for folder in FOLDERS for name in NAMES)
    entries += entries_of(str(desk / "a" / name) for name in NAMES)

    faults = checked(desk, own_files, entries, may_be_missing=may_be_missing)

    assert faults == expected(desk, own_files, entries, may_be_missing=may_be_missing)
    assert faults


@given(st.lists(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)), max_size=150))
def test_whatever_the_order(desk, own_files, parts):
    entries = entries_of(folder + name for folder, name in parts)

    assert checked(desk, own_files, entries) == expected(desk, own_files, entries)


def test_an_entry_with_several_files_is_looked_at_once(desk, own_files):
    files = (("files", "a/1.jpg"), ("mask", "a/missing.jpg"), ("more", "a/dangling.jpg"))
    entries = [ManifestEntry(line, str(line), files, {}) for line in range(30)]

    assert checked(desk, own_files, entries) == expected(desk, own_files, entries)


@pytest.mark.parametrize("limit", [{"max_paths": 25}, {"slow_seconds": -1.0}])
def test_it_may_list_less_and_ask_by_threads(desk, own_files, limit):
    entries = entries_of(f"{folder}{name}" for folder in FOLDERS for name in NAMES)

    assert checked(desk, own_files, entries, **limit) == expected(desk, own_files, entries)
