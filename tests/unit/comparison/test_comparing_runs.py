"""Two runs compared: every kind of change, damaged runs, and files."""

import csv
import json
import sqlite3
from pathlib import Path

import anyio
import pytest

import batchinfer as bi
from batchinfer.artifacts import ArtifactKind, detect_artifact
from batchinfer.domain import InputFile, Item, SentFile
from batchinfer.store.database import DATABASE_NAME
from support.records import failed, item, made, reply
from support.report_runs import detection, photograph
from support.report_runs import item as photo_item

A, B = "a" * 64, "b" * 64


def run_of(folder: Path, results: dict, items=None) -> Path:
    """A run with an item for each key; a result is a prediction, or the code of a failure."""

    def record(position, result):
        if isinstance(result, str) and result.startswith("!"):
            return failed(position, code=result[1:])
        return reply(position, prediction=result)

    all_items = [item(key) for key in results] if items is None else items
    records = [
        record(position, result)
        for position, result in enumerate(results.values(), 1)
        if result is not None
    ]
    anyio.run(made, folder, all_items, records)
    return folder


def found(label, score=0.9, place=(10, 20, 110, 120)):
    return [detection(label, score, place)]


def rows_of(table):
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def items_of(comparison):
    return {name: count for name, count in comparison.as_json()["items"].items() if count}


def test_every_change_is_told(tmp_path):
    a = run_of(
        tmp_path / "a",
        {
            "same.jpg": found("cat"),
            "label.jpg": found("cat"),
            "score.jpg": found("cat", 0.9),
            "noise.jpg": found("cat", 0.9),
            "moved.jpg": found("cat"),
            "gone.jpg": found("cat"),
            "broken.jpg": found("cat"),
            "mended.jpg": "!timeout",
            "still.jpg": "!model_error",
            "other.jpg": "!model_error",
            "lost.jpg": found("cat"),
            "open.jpg": None,
        },
    )
    b = run_of(
        tmp_path / "b",
        {
            "new.jpg": found("cat"),
            "open.jpg": found("cat"),
            "other.jpg": "!timeout",
            "still.jpg": "!model_error",
            "mended.jpg": found("cat"),
            "broken.jpg": "!out_of_memory",
            "gone.jpg": [],
            "moved.jpg": found("cat", 0.9, (30, 20, 130, 120)),
            "noise.jpg": found("cat", 0.904),
            "score.jpg": found("cat", 0.5),
            "label.jpg": found("dog"),
            "same.jpg": found("cat"),
        },
    )
    comparison = bi.compare(a, b)
    told = comparison.as_json()

    assert items_of(comparison) == {
        "same": 2,
        "changed": 4,
        "newly_failed": 1,
        "newly_succeeded": 1,
        "failed_in_both": 1,
        "failed_otherwise": 1,
        "lost": 1,
        "appeared": 1,
        "unfinished": 1,
    }
    assert told["changed"] | {"labels": 1, "scores": 1, "places": 1, "only_a": 1} == told["changed"]
    assert told["label_changes"] == [{"a": "cat", "b": "dog", "count": 1}]
    assert told["newly_failed"] == {"out_of_memory": 1}
    assert told["found"] == {"matched": 5, "only_a": 1, "only_b": 0}
    assert told["score_shift"]["lowest"] == pytest.approx(-0.4)
    assert told["iou"]["lowest"] == pytest.approx(80 / 120, abs=1e-6)
    worst = [each["key"] for each in told["worst"]]
    assert worst[:2] == ["broken.jpg", "lost.jpg"]
    assert set(worst[2:4]) == {"label.jpg", "gone.jpg"}
    assert worst.index("score.jpg") > worst.index("label.jpg")
    json.dumps(told, allow_nan=False)


def test_the_other_way_round_it_is_the_reverse(tmp_path):
    a = run_of(tmp_path / "a", {"x": found("cat"), "y": "!timeout", "z": [1, 2]})
    b = run_of(tmp_path / "b", {"x": "!timeout", "y": found("cat")})

    assert items_of(bi.compare(a, b)) == {"newly_failed": 1, "newly_succeeded": 1, "lost": 1}
    assert items_of(bi.compare(b, a)) == {"newly_failed": 1, "newly_succeeded": 1, "appeared": 1}


def test_keys_meet_whatever_they_are_made_of(tmp_path):
    """In the order of bytes, which is not that of Python's texts for all of Unicode."""
    keys = [
        "\U0001f600.jpg",
        "\uffee.jpg",
        "a",
        "B",
        "a/b",
        "a b",
        "é",
        "e\u0301",
        "\\xff.jpg",
        "10",
        "9",
    ]
    a = run_of(tmp_path / "a", dict.fromkeys(keys, 1))
    b = run_of(tmp_path / "b", dict.fromkeys(reversed(keys), 1))

    assert items_of(bi.compare(a, b)) == {"same": len(keys)}


@pytest.mark.parametrize("count", [499, 500, 501, 1203])
def test_pages_of_the_cursors_do_not_matter(tmp_path, count):
    a = run_of(tmp_path / "a", {f"{number:05}": number for number in range(count)})
    b = run_of(tmp_path / "b", {f"{number:05}": number for number in range(0, count, 2)})

    assert items_of(bi.compare(a, b)) == {"same": (count + 1) // 2, "lost": count // 2}


@pytest.mark.parametrize(
    ("one", "other", "aspects"),
    [
        ({"text": "a cat"}, {"text": "a cat"}, []),
        ({"text": "a cat"}, {"text": "a dog"}, ["text"]),
        ({"x": [1, 2]}, {"x": [1, 2]}, []),
        ({"x": [1, float("nan")]}, {"x": [1, float("nan")]}, []),
        ({"x": [1, 2]}, {"x": [1, 3]}, ["data"]),
        ([["cat", 0.9], ["dog", 0.1]], [["cat", 0.6], ["dog", 0.4]], ["scores"]),
        ([["cat", 0.9], ["dog", 0.1]], [["dog", 0.6], ["cat", 0.4]], ["labels"]),
        ({"text": "a cat"}, [["dog", 0.6], ["cat", 0.4]], ["kind"]),
        ([], [], []),
    ],
)
def test_all_kinds_of_predictions_are_compared(tmp_path, one, other, aspects):
    told = bi.compare(
        run_of(tmp_path / "a", {"x": one}), run_of(tmp_path / "b", {"x": other})
    ).as_json()

    assert [name for name, count in told["changed"].items() if count] == aspects
    assert told["items"]["changed"] == bool(aspects)


def sent(sha256, param="files"):
    return {"inputs": (SentFile(param, 10, sha256),)}


@pytest.mark.parametrize(
    ("one", "other", "changed"),
    [
        (sent(A), sent(A), 0),
        (sent(A), sent(B), 1),
        (sent(A), sent(A, "image"), 0),
        (sent(A), sent(B, "image"), 1),
        (sent(A), {}, 0),
    ],
)
def test_other_bytes_are_told(tmp_path, one, other, changed):
    anyio.run(made, tmp_path / "a", [item("x")], [reply(1, **one)])
    anyio.run(made, tmp_path / "b", [item("x")], [reply(1, **other)])

    assert bi.compare(tmp_path / "a", tmp_path / "b").as_json()["inputs_changed"] == changed


def test_returned_files_are_compared_by_their_bytes(tmp_path):
    for name, data in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        anyio.run(
            made,
            tmp_path / name,
            [item("x")],
            [reply(1, prediction=None, data=data, media_type="image/png")],
        )

    assert items_of(bi.compare(tmp_path / "a", tmp_path / "b")) == {"same": 1}
    comparison = bi.compare(tmp_path / "a", tmp_path / "c")
    assert comparison.as_json()["changed"]["file"] == 1


def test_a_damaged_item_is_neither_lost_nor_new(tmp_path):
    a = run_of(tmp_path / "a", {"x": [1], "y": [2]})
    b = run_of(tmp_path / "b", {"x": [1], "y": [2]})
    with sqlite3.connect(b / DATABASE_NAME) as database:
        database.execute("UPDATE predictions SET prediction = '[3]' WHERE position = 2")
    database.close()

    with pytest.raises(bi.RunDamaged, match="'y'"):
        bi.compare(a, b, tmp_path / "table.csv")
    rows = rows_of(tmp_path / "table.csv")
    assert [(row["key"], row["change"]) for row in rows] == [("x", "same"), ("y", "unreadable")]


def test_a_table_has_a_row_for_each_key(tmp_path):
    a = run_of(tmp_path / "a", {"=1+1": found("cat"), "b": found("cat"), "c": "!timeout"})
    b = run_of(tmp_path / "b", {"=1+1": found("=HYPERLINK(1)"), "b": found("cat", 0.5), "d": [1]})
    bi.compare(a, b, tmp_path / "table.csv")
    rows = rows_of(tmp_path / "table.csv")

    assert [row["change"] for row in rows] == ["changed", "changed", "lost", "appeared"]
    assert rows[0]["key"] == "'=1+1"
    assert rows[0]["label_changes"] == "cat -> =HYPERLINK(1)"
    assert rows[1]["largest_score_shift"] == "-0.4"
    assert rows[2]["a_code"] == "timeout"
    assert detect_artifact(tmp_path / "table.csv") is ArtifactKind.EXPORT


def test_what_no_run_can_hold_is_refused(tmp_path):
    a = run_of(tmp_path / "a", {"x": [1]})

    with pytest.raises(bi.ConfigError, match=r"Unknown extension of .*x\.txt: use \.html"):
        bi.compare(a, a, tmp_path / "x.txt")
    with pytest.raises(bi.ConfigError, match="iou"):
        bi.compare(a, a, iou=float("nan"))
    with pytest.raises(bi.ConfigError, match="tolerance"):
        bi.compare(a, a, tolerance=-1)
    with pytest.raises(bi.StoreError):
        bi.compare(a, tmp_path / "nothing")


def test_nothing_in_common_is_explained(tmp_path):
    from batchinfer.comparison.comparison_sentences import describe_outcome  # noqa: PLC0415

    a, b = run_of(tmp_path / "a", {"x": [1]}), run_of(tmp_path / "b", {"photos/x": [1]})

    assert "No key is in both runs" in describe_outcome(bi.compare(a, b))


def test_the_page_holds_both_and_no_secret(tmp_path):
    photo = photograph(tmp_path / "photos" / "a.jpg")
    keys = ["a.jpg", "</script><b>.jpg"]
    runs = []
    for name, label in (("a", "cat"), ("b", "</script><script>alert(1)</script>")):
        results = {key: found(label) for key in keys}
        runs.append(run_of(tmp_path / name, results, [photo_item(key, photo) for key in keys]))
    bi.compare(*runs, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")

    assert page.count("<script") == 4
    assert "alert(1)</script>" not in page
    assert page.count("data:image/") == 1, "both runs have the same picture"
    assert detect_artifact(tmp_path / "page.html") is ArtifactKind.REPORT


def test_a_file_that_is_gone_is_said(tmp_path):
    runs = [
        run_of(
            tmp_path / name, {"x": found(label)}, [Item("x", (InputFile("files", "/gone.jpg"),))]
        )
        for name, label in (("a", "cat"), ("b", "dog"))
    ]
    bi.compare(*runs, tmp_path / "page.html")

    assert "the file is not there any more" in (tmp_path / "page.html").read_text(encoding="utf-8")
