"""The folder of raw answers: its consumers are `cp`, `grep`, `jq`, and whatever reads the index."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from batchinfer.domain import TEXT_MEDIA_TYPE
from batchinfer.errors import ConfigError
from batchinfer.exports import ExportOptions, write_export
from support.books import HOSTILE, book, failed, pending, result
from support.gallery import HOSTILE as HOSTILE_KEYS
from support.gallery import PNG, PREDICTIONS


def read_index(folder):
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def files(folder):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {"index.csv", ".batchinfer-export"}
    }


def written(folder, *results, directory=Path("run"), notices=None, formulas=False):
    """The folder of these results: the rows of its index."""
    made = replace(book(results, notices), run_directory=directory)
    options = ExportOptions(formulas=formulas)
    assert write_export(made, folder, "files", options) == len(results)
    return read_index(folder)


@pytest.fixture(scope="module")
def folder(hung, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files") / "out"
    assert write_export(hung.book(), folder, "files") == len(hung.keys)
    assert hung.notices == []
    return folder


@pytest.fixture(scope="module")
def index(folder, hung):
    rows = read_index(folder)
    assert [row["key"].removeprefix("'") for row in rows] == [*hung.keys]
    return dict(zip(hung.keys, rows, strict=True))


def test_the_index_names_every_file_and_nothing_else(folder, index):
    kinds = ("prediction", "log", "error")
    named = [row[kind] for row in index.values() for kind in kinds if row[kind]]
    assert set(named) == files(folder)
    assert len(set(map(str.casefold, named))) == len(named)


def test_predictions_lie_in_the_folders_of_the_source(index):
    assert index["site-1/bear.jpg"] == {
        "key": "site-1/bear.jpg",
        "state": "succeeded",
        "prediction": "site-1/bear.jpg.json",
        "log": "",
        "error": "",
    }


def test_data_is_exact_json_text_is_text_and_bytes_are_bytes(folder, index):
    for key, prediction in PREDICTIONS.items():
        assert json.loads((folder / index[key]["prediction"]).read_bytes()) == prediction
    caption = index["caption.jpg"]
    assert caption["prediction"] == "caption.jpg.txt"
    assert (folder / caption["prediction"]).read_bytes() == b"A bear,\nin the snow"
    assert (folder / caption["log"]).read_bytes() == b"it wrote\x1b[31m this"
    assert index["mask.png"]["prediction"] == "mask.png.png"
    assert (folder / "mask.png.png").read_bytes() == PNG


def test_what_failed_has_its_error_and_its_log(folder, index):
    assert index["failed.jpg"] == {
        "key": "failed.jpg",
        "state": "failed",
        "prediction": "",
        "log": "failed.jpg.log",
        "error": "failed.jpg.error.json",
    }
    error = json.loads((folder / "failed.jpg.error.json").read_bytes())
    assert error.pop("finished_at").startswith("2023-11-14T22:13:20.5")
    assert error == {
        "key": "failed.jpg",
        "code": "model_error",
        "message": "No <b>bear</b>.",
        "attempts": 1,
    }
    assert (folder / "failed.jpg.log").read_text() == "Traceback: no bear"
    assert set(index["pending.jpg"].values()) == {"pending.jpg", "pending", ""}


def test_hostile_keys_stay_in_the_folder_each_with_a_file_of_its_own(folder, index):
    for key in HOSTILE_KEYS:
        place = index[key]["prediction"]
        assert (folder / place).resolve().is_relative_to(folder.resolve())
        assert not set(place.split("/")) & {"..", ".git", "CON.json"}
    assert index["Site-1/Bear.jpg"]["prediction"].startswith("Site-1/Bear.jpg~")
    assert index["../../etc/x.jpg"]["prediction"] == "_/_/etc/x.jpg.json"


def test_a_file_and_a_folder_of_one_name_go_out_of_each_others_way(tmp_path):
    keys = ("a", "a.json", "a.json/b", "a.json.log/c", "A.JSON/b", "index.csv", "INDEX")
    rows = written(tmp_path / "out", *(result(key, key) for key in keys))
    found = {row["prediction"]: row["key"] for row in rows}
    assert set(found) == files(tmp_path / "out")
    for place, key in found.items():
        assert json.loads((tmp_path / "out" / place).read_bytes()) == key


def test_cells_of_the_index_cannot_become_formulas_and_still_name_the_files(tmp_path):
    keys = [f"{text[:99]}/{n}" for n, text in enumerate(HOSTILE)]
    rows = written(tmp_path / "out", *(result(key, n) for n, key in enumerate(keys)))
    for n, row in enumerate(rows):
        assert json.loads((tmp_path / "out" / row["prediction"]).read_bytes()) == n
        assert row["key"].lstrip("\u200e\u202e")[0] not in "=+-@\t\r\n\uff1d"
    plain = written(tmp_path / "plain", result("=1+1", 1), formulas=True)
    assert plain[0]["key"] == "=1+1"


def test_numbers_are_exact_and_what_json_has_no_number_for_is_a_text(tmp_path):
    value = [1 << 70, 0.1, float("nan"), -float("inf"), "\udcff", "\x00"]
    written(tmp_path / "out", result("a", value))
    found = json.loads((tmp_path / "out" / "a.json").read_bytes())
    assert found == [1 << 70, 0.1, "NaN", "-Infinity", r"\xff", "\x00"]


def test_a_prediction_that_names_a_file_elsewhere_is_left_out_and_told(tmp_path):
    run, secret = tmp_path / "run", tmp_path / "secret"
    (run / "outputs").mkdir(parents=True)
    (run / "outputs" / "1-1.png").write_bytes(PNG)
    (run / "outputs" / "link.png").symlink_to(secret)
    secret.write_text("secret")
    names = ("outputs/1-1.png", "outputs/link.png", "../secret", str(secret), "outputs", "a\0b")
    notices = []
    rows = written(
        tmp_path / "out",
        *(result(f"{n}", name, media_type="image/png") for n, name in enumerate(names)),
        directory=run,
        notices=notices,
    )
    assert [row["prediction"] for row in rows] == ["0.png", *[""] * 5]
    assert files(tmp_path / "out") == {"0.png"}
    assert notices == [
        "Left out: 5 predictions, its file is not in the run directory (first: '1')."
    ]


def test_a_state_without_an_answer_has_a_row_and_no_file(tmp_path):
    rows = written(
        tmp_path / "out", pending(), failed(), result("t", "\ud800", media_type=TEXT_MEDIA_TYPE)
    )
    assert files(tmp_path / "out") == {"b.jpg.error.json", "t.txt"}
    assert [row["state"] for row in rows] == ["pending", "failed", "succeeded"]
    assert (tmp_path / "out" / "t.txt").read_text() == r"\ud800"


def test_a_folder_with_something_in_it_is_refused_and_an_empty_one_taken(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(ConfigError, match=r"full is there already.*Name a new folder, or delete"):
        write_export(book(()), tmp_path / "full", "files")
    (tmp_path / "empty").mkdir()
    assert written(tmp_path / "empty", result("a", 1))[0]["prediction"] == "a.json"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "full"]


def test_an_error_on_the_way_leaves_nothing_and_a_stream_is_refused(tmp_path):
    def dossiers():
        yield from book([result("a", 1)]).iter_details()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_export(replace(book(()), iter_details=dossiers), tmp_path / "out", "files")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="The format files is a folder: name one with `to`"):
        write_export(book(()), io.BytesIO(), "files")
