"""`--sample` and `--order`, through the whole command line, with real kills."""

import os
import sqlite3
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, config, images, png, start, until

COUNT = 70


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=4, latency=0.02)) as local:
        yield local


@pytest.fixture
def desk(tmp_path, service):
    images(tmp_path / "photos", COUNT)
    for number, path in enumerate(sorted((tmp_path / "photos").rglob("*.png"))):
        at = 1_700_000_000 + number * 37 % 101
        os.utime(path, (at, at))
    config(tmp_path / "c.toml", service)
    return tmp_path


def run(desk, name, *more, **options):
    return batchinfer(
        *("run", desk / "photos", "-c", desk / "c.toml", "-o", desk / name, *more), **options
    )


def keys(desk, name) -> list[str]:
    return [
        row["key"] for row in bi.query(desk / name, "select key from results order by position")
    ]


def newest_first(desk):
    paths = sorted((desk / "photos").rglob("*.png"))
    return sorted(paths, key=lambda path: -path.stat().st_mtime_ns)


def test_a_sample_is_the_same_each_time_and_another_with_another_seed(desk):
    run(desk, "one", "--sample", "12")
    run(desk, "same", "--sample", "12", "--seed", "0", "-q")
    run(desk, "other", "--sample", "12", "--seed", "1", "-q")
    assert len(keys(desk, "one")) == 12
    assert keys(desk, "one") == keys(desk, "same") != keys(desk, "other")
    assert keys(desk, "one") == sorted(keys(desk, "one"))
    assert not (desk / "one" / "ordered-items.db").exists()

    assert "Nothing was sent" in run(desk, "one").stderr  # it keeps its sample
    done = run(desk, "one", "--sample", "13", code=3)
    assert "a sample of 12 (seed 0); you asked for a sample of 13" in done.stderr
    done = run(desk, "one", "--add", code=2)
    assert "nothing can be added" in done.stderr
    run(desk, "all", "--sample", "1000", "-q")
    assert len(keys(desk, "all")) == COUNT


@pytest.mark.parametrize("order", ["newest", "random"])
def test_an_order_holds_through_a_kill_and_changes_of_the_source(order, desk):
    run(desk, "whole", "--order", order)
    expected = keys(desk, "whole")
    if order == "newest":
        times = {str(p.relative_to(desk / "photos")): p.stat().st_mtime for p in newest_first(desk)}
        assert [times[key] for key in expected] == sorted(times.values(), reverse=True)
    else:
        assert expected != sorted(expected)
    process = start(
        *("run", desk / "photos", "-c", desk / "c.toml", "-o", desk / "run", "--order", order),
        *("-n", "1", "--rate", "20/s"),
    )
    until(desk / "run", lambda counts: counts.succeeded >= 5, process)
    process.kill()
    process.communicate()
    # As if it had been killed while the source was still being added.
    with sqlite3.connect(desk / "run" / "run.db") as db:
        added = db.execute("SELECT count(*) FROM items").fetchone()[0]
    assert added >= 32
    (desk / "photos" / "new.png").write_bytes(png(5000))
    batchinfer("resume", desk / "run")
    assert [key for key in keys(desk, "run") if key != "new.png"] == expected


def test_a_sample_that_was_cut_off_is_completed_from_what_was_drawn(desk):
    process = start(
        *("run", desk / "photos", "-c", desk / "c.toml", "-o", desk / "run", "--sample", "40"),
        *("-n", "1", "--rate", "10/s"),
    )
    until(desk / "run", lambda counts: counts.succeeded >= 3, process)
    process.kill()
    process.communicate()
    for number in range(200):
        (desk / "photos" / f"new {number}.png").write_bytes(png(6000 + number))
    batchinfer("resume", desk / "run")
    assert len(keys(desk, "run")) == 40
    assert not any(key.startswith("new") for key in keys(desk, "run"))


def test_a_dry_run_shows_the_choice_and_leaves_nothing(desk):
    done = run(desk, "run", "--sample", "5", "--order", "newest", "--dry-run")
    assert "Dry run: 5 items" in done.stdout
    assert not Path(desk / "run").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--sample", "0"), "sample"),
        (("--order", "size"), "one of path, newest, random"),
        (("--seed", "-1"), "a whole number from zero up"),
    ],
)
def test_what_is_no_choice_is_said(given, said, desk):
    assert said in run(desk, "run", *given, code=2).stderr
