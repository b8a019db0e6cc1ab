"""`--reuse`: results of earlier runs, through the whole command line and with real kills."""

import json
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from batchinfer.store.verification import verify_run
from support import local_service, older_runs
from support.cli import batchinfer, config, images, png, start, until

COUNT = 20


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=4, latency=0.02)) as local:
        yield local


@pytest.fixture
def desk(tmp_path, service):
    """Pictures, a configuration, and a run over them."""
    images(tmp_path / "may", COUNT)
    config(tmp_path / "c.toml", service)
    run(tmp_path, "may", "old")
    return tmp_path


def run(desk, source, name, *more, code=0, **options):
    return batchinfer(
        *("run", desk / source, "-c", desk / "c.toml", "-o", desk / name, *more),
        code=code,
        **options,
    )


def calls(desk) -> int:
    """How many calls the runs of this test have made."""
    count = 0
    for path in desk.glob("*/run.db"):
        with sqlite3.connect(path) as db:
            count += db.execute(
                "SELECT count(*) FROM attempts LEFT JOIN reused USING (position, number) "
                "WHERE reused.number IS NULL"
            ).fetchone()[0]
    return count


def rows(desk, name) -> dict[str, dict]:
    return {row["key"]: row for row in bi.query(desk / name, "select * from results")}


def june(desk, extra=5):
    """The same pictures under other names, and some that are new."""
    folder = images(desk / "june", COUNT)
    for path in folder.rglob("*.png"):
        path.rename(path.with_name(f"june {path.name}"))
    for number in range(extra):
        (folder / f"new {number}.png").write_bytes(png(1000 + number))
    return folder


def test_what_was_sent_before_is_taken_over_without_a_call(desk):
    june(desk)
    made = calls(desk)
    done = run(desk, "june", "new", "--reuse", desk / "old")
    assert calls(desk) == made + 5
    assert f"25 succeeded ({COUNT} of them reused) of 25" in done.stderr

    old, new = rows(desk, "old"), rows(desk, "new")
    assert Counter(row["reused"] for row in new.values()) == {"old": COUNT, None: 5}
    for key, row in new.items():
        if row["reused"]:
            before = old[key.replace("june ", "")]
            for name in ("prediction", "media_type", "seconds", "params", "state"):
                assert row[name] == before[name]
    shown = bi.show(desk / "new", "site-0/june img 0000.png")
    before = bi.show(desk / "old", "site-0/img 0000.png")
    assert shown.attempts[0].outcome.log == before.attempts[0].outcome.log
    assert [file.sha256 for file in shown.inputs] == [file.sha256 for file in before.inputs]

    status = json.loads(batchinfer("status", desk / "new", "--json").stdout)
    assert status["reused"] == COUNT
    assert (
        f"reused    {COUNT:>10} of those that succeeded"
        in batchinfer("status", desk / "new").stdout
    )
    for kind in ("csv", "jsonl", "csv-flat"):
        said = batchinfer("export", desk / "new", "-o", "-", "--format", kind).stdout
        assert said.count('"old"' if kind == "jsonl" else ",old\n") == COUNT
    batchinfer("report", desk / "new", "-o", desk / "report.html")
    assert f"{COUNT} results taken over from old" in (desk / "report.html").read_text()
    assert verify_run(desk / "new") == ()


def test_a_kill_and_a_resume_take_each_over_once(desk):
    june(desk)
    made = calls(desk)
    command = ("run", desk / "june", "-c", desk / "c.toml", "-o", desk / "new", "-n", "1")
    process = start(*command, "--reuse", desk / "old", "--rate", "20/s")
    until(desk / "new", lambda counts: counts.succeeded >= 8, process)
    process.kill()
    process.communicate()
    batchinfer("resume", desk / "new")
    assert bi.status(desk / "new").reused == COUNT
    with sqlite3.connect(desk / "new" / "run.db") as db:
        assert db.execute("SELECT count(*), count(DISTINCT position) FROM attempts").fetchone() == (
            25,
            25,
        )
    assert calls(desk) in {made + 5, made + 6}  # one may have been cut off


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (("--param", "name=x"), ""),
        (("--file-param", "other", "--no-validate"), "input.file_param"),
        (("--no-validate",), "which model answers"),
        (("--mode", "async"), "mode sync"),
    ],
)
def test_nothing_is_reused_of_what_may_be_another_result(more, why, desk, service):
    config(desk / "c.toml", service)
    june(desk, extra=0)
    done = run(desk, "june", "new", "--reuse", desk / "old", *more, code=None)
    assert why in done.stderr
    assert bi.status(desk / "new").reused == 0


def test_of_a_damaged_or_a_changed_result_nothing_is_taken(desk):
    with sqlite3.connect(desk / "old" / "run.db") as db:
        db.execute("UPDATE predictions SET prediction = '\"lies\"' WHERE position = 3")
    june(desk, extra=0)
    run(desk, "june", "new", "--reuse", desk / "old")
    assert bi.status(desk / "new").reused == COUNT - 1
    assert "lies" not in str(rows(desk, "new"))


@pytest.mark.parametrize(("version", "reused"), [(6, COUNT), (5, COUNT), (4, 0), (1, 0)])
def test_runs_of_older_formats_are_read_as_they_are(version, reused, desk):
    older_runs.become(desk / "old", version)
    before = (desk / "old" / "run.db").read_bytes()
    june(desk, extra=0)
    done = run(desk, "june", "new", "--reuse", desk / "old")
    assert bi.status(desk / "new").reused == reused
    assert reused or "older format" in done.stderr
    assert (desk / "old" / "run.db").read_bytes() == before


def test_what_was_reused_is_really_asked_for_when_that_is_wanted(desk):
    june(desk)
    run(desk, "june", "new", "--reuse", desk / "old")
    made = calls(desk)
    key = "site-0/june img 0000.png"
    batchinfer("retry", desk / "new", "--reused", "--key", key)
    assert verify_run(desk / "new") == ()
    batchinfer("resume", desk / "new")
    assert calls(desk) == made + 1
    assert rows(desk, "new")[key]["reused"] is None
    batchinfer("retry", desk / "new", "--reused")
    assert bi.status(desk / "new").counts.pending == COUNT - 1
    batchinfer("resume", desk / "new")
    assert calls(desk) == made + COUNT
    assert bi.status(desk / "new").reused == 0
    assert verify_run(desk / "new") == ()
    batchinfer("retry", desk / "new", "--reused")


def test_files_that_a_model_returns_are_copied(desk):
    with local_service.service(model="local_model:predict") as pictures:
        config(desk / "c.toml", pictures, 'mode = "async"')
        picture = ("--param", "mode=bytesio", "--param", "accept=image/png")
        run(desk, "may", "pictures", *picture)
        june(desk, extra=0)
        run(desk, "june", "new", *picture, "--reuse", desk / "pictures")
    assert bi.status(desk / "new").reused == COUNT
    outputs = sorted((desk / "new" / "outputs").iterdir())
    assert len(outputs) == COUNT
    for path in (desk / "pictures" / "outputs").iterdir():
        path.unlink()
    assert verify_run(desk / "new") == ()
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in outputs)


def test_what_is_not_there_is_said_before_anything_is_sent(desk):
    done = run(desk, "may", "new", "--reuse", desk / "nowhere", code=2)
    assert "holds no run" in done.stderr
    assert not (desk / "new").exists()
    june(desk)
    run(desk, "june", "new", "--reuse", desk / "old", "--limit", "3")
    (desk / "old").rename(desk / "gone")
    done = batchinfer("resume", desk / "new", code=2)
    assert "--reuse none" in done.stderr
    batchinfer("resume", desk / "new", "--reuse", "none")
    assert bi.status(desk / "new").counts.succeeded == COUNT + 5


def test_shards_that_reused_are_merged_as_such(desk):
    june(desk)
    for number in (1, 2):
        run(desk, "june", f"part-{number}", "--reuse", desk / "old", "--shard", f"{number}/2")
    batchinfer("merge", desk / "part-1", desk / "part-2", "-o", desk / "whole")
    assert bi.status(desk / "whole").reused == COUNT
    assert Path(desk / "whole" / "run.db").exists()
    assert verify_run(desk / "whole") == ()
