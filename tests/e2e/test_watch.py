"""`batchinfer watch`, through the whole command line: real folders, real events, real kills."""

import json
import os
import signal
import sqlite3
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from batchinfer.store.verification import verify_run
from support import plugins
from support.cli import batchinfer, config, png, start, until

WAYS = ["events", "no-events"]
QUICK = ("--settle", "0.2s", "--interval", "0.2s")


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=4, latency=0.02)) as local:
        yield local


@pytest.fixture
def desk(tmp_path, service):
    """A folder to watch, a run directory, a configuration."""
    (tmp_path / "incoming").mkdir()
    config(tmp_path / "c.toml", service)
    return tmp_path


def watch(desk, *args, sources=("incoming",), **options):
    places = [desk / each if "://" not in each else each for each in sources]
    return start(
        *("watch", *places, "-c", desk / "c.toml", "-o", desk / "run", *QUICK, *args), **options
    )


def put(path: Path, data: bytes) -> None:
    """A file that appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.rename(path)


def rows(desk) -> dict[str, dict]:
    return {row["key"]: row for row in bi.query(desk / "run", "select * from results")}


def calls(desk) -> Counter:
    """How often each item was answered."""
    with sqlite3.connect(desk / "run" / "run.db") as db:
        return Counter(
            key
            for (key,) in db.execute(
                "SELECT key FROM attempts JOIN items USING (position) WHERE code IS NULL"
            )
        )


def succeeded(count):
    return lambda counts: counts.succeeded >= count


def stop(process, code=130) -> str:
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "Traceback" not in said
    return out + said


def check(desk, count) -> None:
    """Each file has its own result, and was answered once."""
    found = rows(desk)
    assert len(found) == count
    for row in found.values():
        data = Path(row["path"]).read_bytes()
        assert json.loads(row["prediction"])["sha256"] == sha256(data).hexdigest()
    assert set(calls(desk).values()) == {1}


@pytest.mark.parametrize("way", WAYS)
def test_what_comes_is_sent_once_through_kills_and_stops(way, desk):
    incoming = desk / "incoming"
    for number in range(5):
        put(incoming / f"{number}.png", png(number))
    process = watch(desk, f"--{way}")
    until(desk / "run", succeeded(5), process)
    for number in range(5, 12):
        put(incoming / "later" / "still" / f"{number}.png", png(number))
    until(desk / "run", succeeded(12), process)
    process.kill()
    process.communicate()

    for number in range(12, 20):  # comes while nobody watches
        put(incoming / f"{number}.png", png(number))
    process = start("resume", desk / "run")
    until(desk / "run", succeeded(20), process)
    moved = desk / "moved"
    for number in range(20, 25):
        put(moved / f"{number}.png", png(number))
    moved.rename(incoming / "moved")  # of what is in it no event tells
    until(desk / "run", succeeded(25), process)
    said = stop(process)
    assert "resume" in said

    status = json.loads(batchinfer("status", desk / "run", "--json").stdout)
    assert status["watched"] is True
    assert "it watches its source" in batchinfer("status", desk / "run").stdout
    check(desk, 25)


def test_killed_again_and_again_each_file_is_sent_and_recorded_once(desk):
    incoming, number = desk / "incoming", 0
    for _ in range(4):
        process = watch(desk)
        for _ in range(30):
            put(incoming / f"{number:03}.png", png(number))
            number += 1
        until(desk / "run", succeeded(number - 20), process)
        process.kill()
        process.communicate()
    process = watch(desk, "--until-idle", "1s")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    check(desk, number)


def test_a_file_is_taken_when_it_is_whole(desk):
    slow = desk / "incoming" / "slow.png"
    process = watch(desk, "--settle", "1s", "--until-idle", "2s")
    data = png(7) * 50
    empty = desk / "incoming" / "empty.png"
    empty.touch()
    with slow.open("wb") as file:
        for start_ in range(0, len(data), len(data) // 12):
            file.write(data[start_ : start_ + len(data) // 12])
            file.flush()
            time.sleep(0.2)  # the time it takes to be written
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    check(desk, 1)


def test_what_was_put_in_its_place_long_ago_counts_at_once(desk):
    old = desk / "incoming" / "old.png"
    put(old, png(1))
    os.utime(old, (1_700_000_000, 1_700_000_000))
    process = watch(desk, "--settle", "10m")
    until(desk / "run", succeeded(1), process)
    stop(process)


def test_a_changed_file_is_sent_again_only_when_asked(desk):
    changing = desk / "incoming" / "a.png"
    put(changing, png(1))
    put(desk / "incoming" / "b.png", png(2))
    batchinfer(
        *("watch", desk / "incoming", "-c", desk / "c.toml", "-o", desk / "run"),
        *QUICK,
        "--until-idle",
        "1s",
    )
    before = rows(desk)
    put(changing, png(100))

    done = batchinfer("resume", desk / "run", "--until-idle", "1s")
    assert "1 file(s) changed since they were sent (for example a.png)" in done.stderr
    assert rows(desk) == before

    process = watch(desk, "--again-when-changed")
    until(desk / "run", lambda counts: calls(desk)["a.png"] == 2, process)
    put(changing, png(101))
    until(desk / "run", lambda counts: calls(desk)["a.png"] == 3, process)
    stop(process)
    found = rows(desk)
    assert json.loads(found["a.png"]["prediction"])["sha256"] == sha256(png(101)).hexdigest()
    assert found["b.png"] == before["b.png"]
    assert verify_run(desk / "run") == ()


@pytest.mark.parametrize("way", WAYS)
def test_a_drive_that_goes_away_is_waited_for(way, desk):
    incoming, away = desk / "incoming", desk / "away"
    put(incoming / "1.png", png(1))
    process = watch(desk, f"--{way}", "--json", "--until-idle", "2s")
    until(desk / "run", succeeded(1), process)
    incoming.rename(away)
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] == "waiting":
            break
    assert events[-1]["code"] == "source_unavailable"
    assert events[-1]["limit"] is None
    put(away / "2.png", png(2))
    away.rename(incoming)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert any(json.loads(line)["event"] == "back" for line in out.splitlines())
    check(desk, 2)


def test_a_run_whose_drive_is_away_when_it_is_resumed_waits(desk):
    incoming, away = desk / "incoming", desk / "away"
    put(incoming / "1.png", png(1))
    process = watch(desk)
    until(desk / "run", succeeded(1), process)
    stop(process)
    incoming.rename(away)
    process = start("resume", desk / "run", "--until-idle", "1s", "--json")
    while json.loads(process.stdout.readline())["event"] != "waiting":
        pass
    put(away / "2.png", png(2))
    away.rename(incoming)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    check(desk, 2)


def test_a_file_that_went_and_came_back_is_sent_without_being_asked(desk):
    incoming = desk / "incoming"
    kept = desk / "kept.png"
    for number in range(4):
        put(incoming / f"{number}.png", png(number))
    process = watch(desk, "--limit", "2")
    process.communicate(timeout=60)
    (incoming / "3.png").rename(kept)
    process = watch(desk)
    until(desk / "run", lambda counts: counts.finished == 4, process)
    assert rows(desk)["3.png"]["code"] == "file_missing"
    kept.rename(incoming / "3.png")
    until(desk / "run", succeeded(4), process)
    stop(process)
    check(desk, 4)


def test_the_last_file_that_is_deleted_before_it_was_sent_holds_nothing_up(desk):
    put(desk / "incoming" / "1.png", png(1))
    process = watch(desk)
    until(desk / "run", succeeded(1), process)
    batchinfer("ctl", desk / "run", "pause")
    put(desk / "incoming" / "2.png", png(2))
    until(desk / "run", lambda counts: counts.pending == 1, process)
    for path in (desk / "incoming").iterdir():
        path.unlink()
    batchinfer("ctl", desk / "run", "resume")
    until(desk / "run", lambda counts: counts.failed == 1, process)
    assert rows(desk)["2.png"]["code"] == "file_missing"
    stop(process)


def test_a_run_is_controlled_while_it_watches(desk):
    process = watch(desk)
    put(desk / "incoming" / "1.png", png(1))
    until(desk / "run", succeeded(1), process)
    assert "paused" in batchinfer("ctl", desk / "run", "pause").stdout
    put(desk / "incoming" / "2.png", png(2))
    until(desk / "run", lambda counts: counts.pending == 1, process)
    assert "watching: 1 done, 1 to do" in batchinfer("ctl", desk / "run", "status").stdout
    assert "watching" in batchinfer("status", desk / "run").stdout
    batchinfer("ctl", desk / "run", "resume")
    until(desk / "run", succeeded(2), process)
    batchinfer("ctl", desk / "run", "stop")
    process.communicate(timeout=60)
    assert process.returncode == 130


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_addresses_are_listed_again_and_again(mode, desk, service):
    config(desk / "c.toml", service, f'mode = "{mode}"')
    toy = {"group": "batchinfer.sources", "name": "toy", "target": "toy_source:ToySource"}
    env = {**os.environ, **plugins.install(desk / "site", **toy), "TOY_SHELF": str(desk / "shelf")}
    shelf = desk / "shelf" / "photos"
    for number in range(3):
        put(shelf / f"{number}.png", png(number))
    process = watch(desk, sources=("toy://photos",), env=env)
    until(desk / "run", succeeded(3), process)
    for number in range(3, 6):
        put(shelf / f"{number}.png", png(number))
    until(desk / "run", succeeded(6), process)
    process.kill()
    process.communicate()
    put(shelf / "6.png", png(6))
    (desk / "shelf" / "AWAY").touch()
    process = start("resume", desk / "run", "--until-idle", "1s", "--json", env=env)
    while json.loads(process.stdout.readline())["event"] != "waiting":
        pass
    (desk / "shelf" / "AWAY").unlink()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert len(rows(desk)) == 7
    assert set(calls(desk).values()) == {1}


def test_two_folders_with_the_same_name_in_them_do_not_end_the_run(desk):
    put(desk / "incoming" / "a.png", png(1))
    put(desk / "other" / "a.png", png(2))
    put(desk / "other" / "b.png", png(3))
    process = watch(desk, "--until-idle", "1s", sources=("incoming", "other"))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "stands for two inputs" in said
    check(desk, 2)


def test_what_cannot_grow_is_refused(desk):
    (desk / "list.csv").write_text("path\na.png\n")
    done = batchinfer("watch", desk / "list.csv", "-c", desk / "c.toml", "-o", desk / "run", code=2)
    assert "cannot be watched" in done.stderr
    assert not (desk / "run").exists()
    done = batchinfer("watch", desk / "nowhere", "-c", desk / "c.toml", "-o", desk / "run", code=2)
    assert "no such file or folder" in done.stderr
    (desk / "c.toml").write_text((desk / "c.toml").read_text() + "[input]\nsample = 3\n")
    done = batchinfer(
        *("watch", desk / "incoming", "-c", desk / "c.toml", "-o", desk / "run"), code=2
    )
    assert "never has all" in done.stderr
