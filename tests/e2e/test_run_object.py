"""The object that `bi.run` returns: every command as a method, sync and async, on real runs."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import ServiceProcess, start_service
from batchinfer.store.lock import RunLock
from support.cli import config, images

COUNT = 12


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=4)) as local:
        yield local


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return images(tmp_path_factory.mktemp("source") / "photos", COUNT)


@pytest.fixture(scope="module")
def toml(tmp_path_factory, service: ServiceProcess) -> Path:
    return config(tmp_path_factory.mktemp("config") / "c.toml", service)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, photos: Path, toml: Path) -> Path:
    """A run of which all is done."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    bi.run(photos, directory, config=toml)
    return directory


@pytest.fixture
def part(tmp_path: Path, photos: Path, toml: Path) -> bi.Run:
    """A run of which a few items are done."""
    return bi.run(photos, tmp_path / "part", config=toml, limit=3)


def test_what_run_returns_is_also_the_summary_of_older_versions(
    photos: Path, toml: Path, tmp_path: Path
):
    run = bi.run(photos, tmp_path / "run", config=toml)

    assert isinstance(run, bi.Run)
    assert run.run == str(tmp_path / "run")
    assert (run.mode, run.failures, run.exit_code) == (bi.Mode.SYNC, {}, 0)
    assert run.counts == bi.Counts(succeeded=COUNT)
    assert run.seconds > 0
    assert run.as_json() == run.summary.as_json()
    assert run.as_json()["succeeded"] == COUNT


def test_a_run_that_was_opened_says_how_it_stands_now(finished: Path):
    run = bi.Run(finished)

    assert run.summary is None
    assert (run.counts.succeeded, run.failures, run.mode) == (COUNT, {}, bi.Mode.SYNC)
    assert (run.seconds, run.exit_code) == (None, None)
    assert run.as_json() == run.status().as_json()


def test_there_is_no_run_where_there_is_none(tmp_path: Path):
    with pytest.raises(bi.StoreError, match="holds no run"):
        bi.Run(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_way_to_read(finished: Path, tmp_path: Path):
    run = bi.Run(str(finished))
    first = next(iter(run.results()))

    assert len(list(run.results("succeeded"))) == COUNT
    assert run.status().counts.succeeded == COUNT
    assert run.show(first.key).result == first
    assert run.export(tmp_path / "out.csv") == COUNT
    assert run.report(tmp_path / "page.html").items == COUNT
    assert [row["n"] for row in run.query("select count(*) as n from items")] == [COUNT]
    assert len(run.to_pandas()) == len(run.to_arrow()) == len(run.to_polars()) == COUNT
    assert len(run.to_pandas("failed")) == 0


@pytest.mark.event_loops("asyncio", "trio")
async def test_every_way_to_read_from_async_code(anyio_backend, finished: Path, tmp_path: Path):
    run = bi.Run(finished)
    key = next(iter(run.results())).key

    assert (await run.astatus()).counts.succeeded == COUNT
    assert (await run.ashow(key)).result.key == key
    assert await run.aexport(tmp_path / "out.jsonl") == COUNT
    assert (await run.areport(tmp_path / "page.html")).items == COUNT
    assert await run.aquery("select key from items where key = ?", [key]) == [{"key": key}]
    assert await bi.aquery(finished, "select count(*) as n from items") == [{"n": COUNT}]


def test_it_stands_for_its_directory_wherever_a_path_does(finished: Path, tmp_path: Path):
    run = bi.Run(finished)

    assert os.fspath(run) == str(finished)
    assert bi.status(run).counts == run.counts
    assert bi.export(run, tmp_path / "out.csv") == COUNT
    assert pickle.loads(pickle.dumps(run)).counts == run.counts


def test_reading_needs_no_lock_and_writing_does(part: bi.Run):
    with RunLock(part.directory):
        assert part.status().counts.succeeded == 3
        assert len(list(part.results("succeeded"))) == 3
        assert "3 of" in repr(part)
        with pytest.raises(bi.RunLocked):
            part.resume()
        with pytest.raises(bi.RunLocked):
            part.retry()


def test_it_is_continued_and_tells_of_the_latest_command(part: bi.Run):
    assert part.counts.succeeded == 3

    resumed = part.resume()  # the secrets are in the config that it was started with

    assert resumed is part
    assert part.counts.succeeded == COUNT


def test_failed_items_are_tried_again(tmp_path: Path, toml: Path):
    photos = images(tmp_path / "photos", 3)
    empty = next(photos.rglob("*.png"))
    whole = empty.read_bytes()
    empty.write_bytes(b"")
    run = bi.run(photos, tmp_path / "run", config=toml)
    assert (run.failures, run.exit_code) == ({"file_empty": 1}, 1)
    empty.write_bytes(whole)

    assert run.retry(code="timeout") == 0
    assert run.retry(key=empty.relative_to(photos).as_posix()) == 1

    assert run.failures == {}  # it does not tell of what was before
    assert run.counts.pending == 1
    assert run.resume(config=toml).counts.succeeded == 3


async def test_failed_items_are_tried_again_from_async_code(tmp_path: Path, toml: Path):
    photos = images(tmp_path / "photos", 3)
    empty = next(photos.rglob("*.png"))
    whole = empty.read_bytes()
    empty.write_bytes(b"")
    run = await bi.arun(photos, tmp_path / "run", config=toml)
    empty.write_bytes(whole)

    assert await run.aretry() == 1
    assert (await run.aresume(config=toml)).counts.succeeded == 3


def test_the_older_name_of_retry_still_works_and_says_so(finished: Path):
    with pytest.warns(DeprecationWarning, match="retry"):
        assert bi.requeue(finished) == 0


def test_both_halves_of_async_mode_and_what_they_leave(photos: Path, toml: Path, tmp_path: Path):
    run = bi.submit(photos, tmp_path / "run", config=toml, limit=5)
    assert (run.mode, run.counts.submitted) == (bi.Mode.ASYNC, 5)
    run.submit(config=toml)
    assert run.counts.submitted == COUNT

    run.collect(config=toml)

    assert run.counts == bi.Counts(succeeded=COUNT)
    assert run.clean(config=toml, dry_run=True).inputs == COUNT
    assert run.clean(config=toml).objects == 3 * COUNT  # an input, an output and a log each
    assert run.clean(config=toml).objects == 0


async def test_both_halves_of_async_mode_from_async_code(photos: Path, toml: Path, tmp_path: Path):
    run = await bi.asubmit(photos, tmp_path / "run", config=toml)
    await run.acollect(config=toml, clean=True)

    assert run.counts == bi.Counts(succeeded=COUNT)
    assert (await run.aclean(config=toml)).objects == 0


def test_a_sync_run_is_not_collected(finished: Path, toml: Path):
    with pytest.raises(bi.ConfigError, match="is a sync run"):
        bi.Run(finished).collect(config=toml)
    with pytest.raises(bi.ConfigError, match="sync mode"):
        bi.Run(finished).clean(config=toml)


def test_a_source_that_has_moved_and_one_that_is_added(toml: Path, tmp_path: Path):
    photos = images(tmp_path / "photos", 4)
    run = bi.run(photos, tmp_path / "run", config=toml, limit=1)
    photos.rename(tmp_path / "moved")

    run.resume(config=toml, source=tmp_path / "moved")
    assert run.counts.succeeded == 4

    more = images(tmp_path / "more", 9)
    (more / "site-0").rename(more / "new")
    for folder in more.glob("site-*"):
        for file in folder.iterdir():
            file.unlink()
    with pytest.raises(bi.RunMismatch):
        bi.run(more, run, config=toml)
    assert bi.run(more, run, config=toml, add=True) is run
    assert run.counts.succeeded == 6


def test_what_the_model_takes_is_asked_once_and_kept(finished: Path, toml: Path):
    described = bi.describe(config=toml)
    kept = bi.Run(finished).describe()  # without secrets: nobody is asked

    assert [each.name for each in described.schema.parameters] == [
        each.name for each in kept.schema.parameters
    ]
    asked = bi.Run(finished).describe(again=True)
    assert asked.help != kept.help
    assert bi.Run(finished).describe().help == asked.help


def test_everything_can_be_checked_before_anything_is_sent(toml: Path, photos: Path):
    told = []
    checked = bi.check(toml, on_finding=told.append)

    assert checked.exit_code == 0
    assert list(checked.findings) == told
    assert {"config", "endpoint", "access", "bucket"} <= {each.check for each in told}
    probed = bi.check(toml, probe=next(photos.rglob("*.png")))
    assert [each.state for each in probed.findings if each.check == "probe"] == ["good"] * 2


async def test_a_configuration_that_is_missing_is_a_finding(tmp_path: Path):
    checked = await bi.acheck(tmp_path / "none.toml")

    assert checked.exit_code == 2
    assert [each.check for each in checked.findings] == ["config"]


def test_payloads_are_written_and_what_has_none_is_told(tmp_path: Path, toml: Path):
    photos = images(tmp_path / "photos", 3)
    next(photos.rglob("*.png")).write_bytes(b"")
    refused = []

    prepared = bi.prepare(
        photos, tmp_path / "out", config=toml, on_refused=lambda *each: refused.append(each)
    )

    assert (prepared.written, prepared.failures) == (2, {"file_empty": 1})
    assert [failure.code for _, failure in refused] == ["file_empty"]
    assert len(list((tmp_path / "out").glob("0*.json"))) == 2


async def test_a_run_that_goes_on_is_steered_by_its_object(
    tmp_path: Path, photos: Path, toml: Path
):
    async with bi.stream(photos, tmp_path / "run", config=toml, concurrency=1) as results:
        async for _ in results:
            run = bi.Run(tmp_path / "run")
            answer = await run.actl("concurrency", 2)
            assert answer["status"]["limit"] == 2
            assert (await run.actl("pause"))["status"]["paused"] is True
            break
    with pytest.raises(bi.StoreError, match="is not running"):
        run.ctl("status")


def test_a_configuration_that_is_read_once_serves_several_runs(
    photos: Path, toml: Path, tmp_path: Path
):
    loaded = bi.load_config(toml, params={"size_hint": 3})

    for name in ("one", "two"):
        run = bi.run(photos, tmp_path / name, config=loaded, limit=1)
        assert [each.prediction["size_hint"] for each in run.results("succeeded")] == ["3"]


def test_progress_ends_with_a_line_and_passes_events_on(
    photos: Path, toml: Path, tmp_path: Path, capsys
):
    class Watcher:
        def __init__(self) -> None:
            self.events: list[object] = []

        def notify(self, event: object) -> None:
            self.events.append(event)

    watcher = Watcher()
    bi.run(photos, tmp_path / "run", config=toml, progress=True, observer=watcher)

    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith(f"{COUNT} succeeded of {COUNT} in ")
    assert said.out == ""
    assert watcher.events


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
def test_progress_is_a_bar_on_a_terminal(photos: Path, toml: Path, tmp_path: Path):
    code = (
        "import sys, batchinfer as bi; bi.run(sys.argv[1], sys.argv[2], config=sys.argv[3], "
        "progress=True)"
    )
    leader, follower = os.openpty()
    command = [sys.executable, "-c", code, str(photos), str(tmp_path / "run"), str(toml)]
    with subprocess.Popen(command, stderr=follower) as process:
        os.close(follower)
        shown = b""
        while process.poll() is None or not shown.endswith(b"\n"):
            try:
                shown += os.read(leader, 4096)
            except OSError:  # Linux: the other end is closed
                break
    os.close(leader)

    assert process.returncode == 0
    assert f"{COUNT}/{COUNT}".encode() in shown.replace(b" ", b"")
    assert b"\r" in shown
    assert b" succeeded of " in shown


def test_a_run_whose_config_is_gone_says_which_secret_is_missing(
    photos: Path, toml: Path, tmp_path: Path
):
    own = tmp_path / "own.toml"
    own.write_text(toml.read_text())
    run = bi.run(photos, tmp_path / "run", config=own, limit=1)
    own.unlink()

    with pytest.raises(bi.ConfigError, match=r"\[service\] token is missing"):
        run.resume()
    assert run.resume(config=toml).counts.succeeded == COUNT


def test_what_cannot_be_written_asked_or_found_has_an_error_of_its_own(
    finished: Path, tmp_path: Path
):
    run = bi.Run(finished)

    with pytest.raises(bi.ExportError, match="does not exist"):
        run.export(tmp_path / "nowhere" / "out.csv")
    with pytest.raises(bi.ExportError, match="does not exist"):
        run.report(tmp_path / "nowhere" / "page.html")
    with pytest.raises(bi.QueryError):
        run.query("select nothing from nowhere")
    with pytest.raises(bi.UnknownKey, match="no item"):
        run.show("nobody")
    assert all(
        issubclass(each, bi.ConfigError) for each in (bi.ExportError, bi.QueryError, bi.UnknownKey)
    )
