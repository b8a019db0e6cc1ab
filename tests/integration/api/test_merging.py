"""Runs made one: nothing is lost, nothing is doubled, nothing is made up."""

import hashlib
import json
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import batchinfer as bi
from batchinfer.api.merge_order import make_folder_sort_key
from batchinfer.api.merge_parts import MergePart, find_missing_shards, is_all_read
from batchinfer.domain import Counts, SentFile
from batchinfer.sources import open_source
from batchinfer.sources.shard import Shard
from batchinfer.store.lock import RunLock
from batchinfer.store.sqlite import SqliteStore
from batchinfer.store.verification import verify_run
from support.older_runs import become
from support.records import failed, failure, item, reply, submitted
from support.shard_runs import CONFIG, KEYS, make_run, make_shards


def rows(run):
    """What is exported of a run, without the names of files: those hold positions."""
    exported = []
    for result in bi.results(run):
        prediction = result.prediction
        if result.media_type == "image/png":
            prediction = (run / prediction).read_bytes()
        exported.append(
            (result.key, result.state, prediction, result.media_type, result.code, result.message,
             result.attempts, result.seconds, result.started_at, result.finished_at, result.path)
        )  # fmt: skip
    return exported


def attempts(run):
    return {
        key: [(each.number, each.started_at, each.outcome) for each in bi.show(run, key).attempts]
        for key in (result.key for result in bi.results(run))
    }


def fingerprint(run):
    """Of everything in a run directory that a merge could change."""
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in {"run.lock", "run.db-shm", "run.db-wal"}
    }


def are_on_one_disk(one, other):
    return not one.exists() or one.stat().st_dev == other.stat().st_dev


def alter(run, statement):
    with sqlite3.connect(run / "run.db") as db:
        db.execute(statement)
    db.close()


async def test_shards_together_are_the_undivided_run(tmp_path):
    whole = await make_run(tmp_path / "whole", KEYS)
    shards = await make_shards(tmp_path)
    before = [fingerprint(shard) for shard in shards]

    summary = bi.merge(shards, tmp_path / "merged")

    merged = tmp_path / "merged"
    assert rows(merged) == rows(whole)  # in the same order
    assert attempts(merged) == attempts(whole)
    assert verify_run(merged) == ()
    assert bi.status(merged).counts == bi.status(whole).counts == summary.counts
    assert bi.status(merged).failures == bi.status(whole).failures
    assert bi.status(merged).started_at == bi.status(whole).started_at
    assert (summary.added, summary.updated, summary.known) == (len(KEYS), 0, 0)
    assert summary.has_changed
    assert summary.is_complete
    assert bi.status(merged).complete
    assert bi.status(merged).shard is None
    assert [fingerprint(shard) for shard in shards] == before
    assert sorted(path.name for path in merged.iterdir() if "run.db-" not in path.name) == [
        "outputs", "run.db", "run.lock"
    ]  # fmt: skip


async def test_the_order_of_the_runs_does_not_matter(tmp_path):
    shards = await make_shards(tmp_path)
    bi.merge(shards, tmp_path / "one")
    bi.merge(shards[::-1], tmp_path / "other")
    assert rows(tmp_path / "one") == rows(tmp_path / "other")


async def test_merging_again_changes_nothing(tmp_path):
    shards = await make_shards(tmp_path)
    merged = tmp_path / "merged"
    bi.merge(shards, merged)
    before = fingerprint(merged)

    for runs in (shards, shards[1], [merged, shards[0]], [shards[2], shards[2], merged]):
        summary = bi.merge(runs, merged)
        assert (summary.added, summary.updated, summary.has_changed) == (0, 0, False)
        assert fingerprint(merged) == before
    bi.merge([merged, shards[0]], tmp_path / "other")
    assert rows(tmp_path / "other") == rows(merged)
    assert verify_run(tmp_path / "other") == ()


async def test_output_files_are_no_second_copy(tmp_path):
    shards = await make_shards(tmp_path)
    bi.merge(shards, tmp_path / "merged")
    files = list((tmp_path / "merged" / "outputs").iterdir())
    assert len(files) > 10
    assert {file.stat().st_nlink for file in files} == {2}


async def test_output_files_are_copied_from_another_disk(tmp_path):
    if are_on_one_disk(Path("/dev/shm"), tmp_path):
        pytest.skip("there is only one disk here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        shards = await make_shards(Path(folder))
        bi.merge(shards, tmp_path / "merged")
        expected = sorted(rows(shard)[0] for shard in shards)
    assert [row for row in rows(tmp_path / "merged") if row in expected] == expected
    assert verify_run(tmp_path / "merged") == ()


async def test_runs_of_other_sources_follow_each_other(tmp_path):
    sky = await make_run(tmp_path / "sky", ["z.jpg", "b.jpg"], sources=["/sky"])
    sea = await make_run(tmp_path / "sea", ["c.jpg", "a.jpg"], sources=["/sea"])
    bi.merge([sky, sea], tmp_path / "merged")
    assert [row[0] for row in rows(tmp_path / "merged")] == ["z.jpg", "b.jpg", "c.jpg", "a.jpg"]
    assert bi.status(tmp_path / "merged").sources == ("/sky", "/sea")
    assert bi.status(tmp_path / "merged").complete


async def test_shards_of_several_folders_keep_the_order_of_the_folders(tmp_path):
    keys = [*(f"z{n}.jpg" for n in range(20)), *(f"a{n:02}.jpg" for n in range(20))]
    shards = []
    for number in (1, 2, 3):
        run = tmp_path / f"shard-{number}"
        shard = Shard(number, 3)
        chosen = [key for key in sorted(keys[:20]) if shard.holds(key)]
        later = [key for key in keys[20:] if shard.holds(key)]
        await make_run(run, [], sources=["/data/z", "/data/a"], shard=str(shard), finished=False)
        async with SqliteStore.open(run) as store:
            await store.add([item(key, path=f"/data/z/{key}") for key in chosen])
            await store.add([item(key, path=f"/data/a/{key}") for key in later])
            await store.commit_records([reply(n) for n in range(1, len(chosen + later) + 1)])
            await store.mark_source_complete()
        shards.append(run)
    bi.merge(shards, tmp_path / "merged")
    assert [row[0] for row in rows(tmp_path / "merged")] == [*sorted(keys[:20]), *keys[20:]]


# What is not all ---------------------------------------------------------------------------------


async def test_a_shard_that_is_not_finished_is_told(tmp_path):
    shards = await make_shards(tmp_path)
    shutil.rmtree(shards[2])
    await make_run(
        shards[2], KEYS, shard="3/4", finished=False,
        records=lambda position, key: [] if position <= 5 else [reply(position)],
    )  # fmt: skip

    with pytest.raises(bi.StoreError) as told:
        bi.merge(shards, tmp_path / "merged")
    assert f"{shards[2]} (3/4): 5 items pending, its source was not read to its end" in str(
        told.value
    )
    assert "`partial=True`" in str(told.value)
    assert not (tmp_path / "merged").exists()

    summary = bi.merge(shards, tmp_path / "merged", partial=True)
    assert summary.counts.pending == 5
    assert not summary.is_complete
    assert len(summary.unfinished) == 1
    assert not bi.status(tmp_path / "merged").complete


async def test_what_was_finished_since_is_taken_over(tmp_path):
    whole = await make_run(tmp_path / "whole", KEYS)
    shards = await make_shards(tmp_path, records=lambda position, key: [failure(position)])
    merged = tmp_path / "merged"
    bi.merge(shards, merged, partial=True)
    positions = [result.key for result in bi.results(merged)]
    for shard in shards:
        shutil.rmtree(shard)
    shards = await make_shards(tmp_path)

    summary = bi.merge(shards, merged)

    assert summary.updated == len(KEYS)
    assert rows(merged) == rows(whole)
    assert attempts(merged) == attempts(whole)
    assert [result.key for result in bi.results(merged)] == positions
    assert verify_run(merged) == ()


async def test_missing_shards_are_told_and_may_come_later(tmp_path):
    whole = await make_run(tmp_path / "whole", KEYS)
    shards = await make_shards(tmp_path, 6)
    with pytest.raises(bi.StoreError, match="missing: shard 2/6, 5/6"):
        bi.merge([shards[0], *shards[2:4], shards[5]], tmp_path / "merged")

    summary = bi.merge([shards[0], *shards[2:4], shards[5]], tmp_path / "merged", partial=True)
    assert summary.missing_shards == ("2/6", "5/6")
    assert not bi.status(tmp_path / "merged").complete

    assert bi.merge(shards, tmp_path / "merged").is_complete
    assert bi.status(tmp_path / "merged").complete
    assert sorted(rows(tmp_path / "merged")) == sorted(rows(whole))
    assert verify_run(tmp_path / "merged") == ()


async def test_what_is_still_in_the_bucket_is_fetched_first(tmp_path):
    config = {"bucket": {"name": "birds"}, "run": {"mode": "async"}}
    run = await make_run(
        tmp_path / "run",
        ["a", "b"],
        config=config,
        records=lambda position, key: [submitted(position)],
    )
    with pytest.raises(bi.StoreError, match=r"2 items submitted[^$]*collect"):
        bi.merge([run], tmp_path / "merged", partial=True)


# What does not go together -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "values", "named"),
    [
        ("service", {"endpoint": "https://example.org/run/fish"}, "service.endpoint"),
        ("service", {**CONFIG["service"], "protocol": "other"}, "service.protocol"),
        ("params", {"conf": 0.5}, "params.conf"),
        ("input", {"file_param": "image"}, "input.file_param"),
        ("input", {"include": "*.jpg"}, "input.include"),
    ],
)
async def test_another_service_or_other_parameters_are_refused(tmp_path, section, values, named):
    one = await make_run(tmp_path / "one", ["a"])
    other = await make_run(tmp_path / "other", ["b"], config={**CONFIG, section: values})
    with pytest.raises(bi.RunMismatch) as told:
        bi.merge([one, other], tmp_path / "merged")
    assert named in str(told.value)
    assert str(one) in str(told.value)
    assert str(other) in str(told.value)
    assert not (tmp_path / "merged").exists()


async def test_how_fast_runs_went_about_it_does_not_matter(tmp_path):
    one = await make_run(tmp_path / "one", ["a"])
    run = {**CONFIG["run"], "concurrency": "4", "timeout": 9.0}
    other = await make_run(tmp_path / "other", ["b"], config={**CONFIG, "run": run})
    assert bi.merge([one, other], tmp_path / "merged").added == 2


async def test_two_results_of_one_item_are_refused(tmp_path):
    one = await make_run(tmp_path / "one", KEYS)
    other = await make_run(
        tmp_path / "other",
        KEYS[:3],
        records=lambda position, key: [reply(position, prediction="other")],
    )
    with pytest.raises(bi.RunMismatch) as told:
        bi.merge([one, other], tmp_path / "merged")
    assert f"{KEYS[0]}: {other} has another prediction than {one}" in str(told.value)
    assert "`prefer_first=True`" in str(told.value)
    assert not (tmp_path / "merged").exists()

    bi.merge(one, tmp_path / "merged")
    before = fingerprint(tmp_path / "merged")
    with pytest.raises(bi.RunMismatch, match=f"than {tmp_path / 'merged'}"):
        bi.merge(other, tmp_path / "merged")
    assert fingerprint(tmp_path / "merged") == before

    assert not bi.merge(other, tmp_path / "merged", prefer_first=True).has_changed
    bi.merge([other, one], tmp_path / "third", prefer_first=True)
    found = {row[0]: row[2] for row in rows(tmp_path / "third")}
    assert [found[key] for key in KEYS[:3]] == ["other"] * 3
    assert len(found) == len(KEYS)
    assert verify_run(tmp_path / "third") == ()


async def test_a_shard_stays_a_shard(tmp_path):
    shards = await make_shards(tmp_path)
    before = fingerprint(shards[0])
    with pytest.raises(bi.RunMismatch, match="holds shard 1/4 only"):
        bi.merge(shards, shards[0])
    assert fingerprint(shards[0]) == before


async def test_a_run_that_is_at_work_is_refused(tmp_path):
    run = await make_run(tmp_path / "run", ["a"])
    with RunLock(run), pytest.raises(bi.RunLocked, match="ctl"):
        bi.merge([run], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


async def test_a_folder_of_something_else_is_left_alone(tmp_path):
    run = await make_run(tmp_path / "run", ["a"])
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    with pytest.raises(bi.StoreError, match="not empty"):
        bi.merge([run], tmp_path / "photos")
    with pytest.raises(bi.ConfigError, match="is a file"):
        bi.merge([run], tmp_path / "photos" / "a.jpg")
    with pytest.raises(bi.ConfigError, match="Nothing to merge"):
        bi.merge([run], run)
    with pytest.raises(bi.StoreError, match="holds no run"):
        bi.merge([tmp_path / "photos"], tmp_path / "merged")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpg"]


# What is damaged ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE items SET params = '{\"a\":1}' WHERE key = '001.jpg'", "'001.jpg'"),
        ("UPDATE items SET key = 'x.jpg' WHERE key = '001.jpg'", "'x.jpg'"),
        ("UPDATE predictions SET prediction = '\"made up\"' WHERE position = 1", "'000.jpg'"),
        ("UPDATE attempts SET log = 'made up' WHERE position = 1", "'000.jpg'"),
        ("UPDATE attempts SET message = 'made up' WHERE position = 4 AND number = 1", "attempt 1"),
        ("UPDATE items SET state = 'failed' WHERE position = 1", "'000.jpg'"),
        ("UPDATE sessions SET params = '{\"a\":1}'", "session 1"),
        ("UPDATE attempts SET session = 7, checksum = NULL WHERE position = 1", "session 7"),
        ("DELETE FROM predictions WHERE position = 1", "'000.jpg'"),
        ("DELETE FROM items WHERE position = 2", "an item or more"),
    ],
)
async def test_a_damaged_row_is_never_made_to_look_intact(tmp_path, statement, named):
    run = await make_run(tmp_path / "run", KEYS)
    with sqlite3.connect(run / "run.db") as db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute(statement)
    db.close()
    with pytest.raises(bi.RunDamaged) as told:
        bi.merge([run], tmp_path / "merged")
    assert named in str(told.value)
    assert not (tmp_path / "merged").exists()


async def test_sent_files_are_compared_with_their_checksums(tmp_path):
    sent = SentFile("files", 10, "ab" * 32)
    run = await make_run(
        tmp_path / "run", ["a"], records=lambda position, key: [reply(position, inputs=(sent,))]
    )
    bi.merge([run], tmp_path / "merged")
    assert bi.show(tmp_path / "merged", "a").inputs == [sent]
    assert verify_run(tmp_path / "merged") == ()
    alter(run, "UPDATE inputs SET size = 11")
    with pytest.raises(bi.RunDamaged, match="what was sent"):
        bi.merge([run], tmp_path / "other")


@pytest.mark.parametrize("harm", ["change", "remove", "escape"])
async def test_a_damaged_output_file_is_refused(tmp_path, harm):
    run = await make_run(tmp_path / "run", KEYS)
    file = min((run / "outputs").iterdir())
    if harm == "change":
        file.write_bytes(b"made up")
    elif harm == "remove":
        file.unlink()
    else:
        alter(run, "UPDATE attempts SET checksum = NULL")
        alter(run, "UPDATE predictions SET prediction = '\"../secret\"' WHERE media_type LIKE 'i%'")
        (tmp_path / "secret").write_bytes(b"x")
    with pytest.raises(bi.RunDamaged, match=r"\.png|secret"):
        bi.merge([run], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


# What has a history ------------------------------------------------------------------------------


async def test_a_retry_in_the_merged_run_is_not_undone(tmp_path):
    shards = await make_shards(tmp_path)
    merged = tmp_path / "merged"
    bi.merge(shards, merged)
    put_back = bi.retry(merged)
    assert put_back == bi.status(merged).counts.pending > 0
    assert not bi.merge(shards, merged).has_changed
    assert bi.status(merged).counts.pending == put_back

    bi.merge([shards[0], merged], tmp_path / "other", partial=True)
    assert bi.status(tmp_path / "other").counts.pending == put_back


async def test_the_merged_run_is_continued_as_any_other(tmp_path):
    shards = await make_shards(tmp_path)
    merged = tmp_path / "merged"
    bi.merge(shards, merged)
    bi.retry(merged)
    async with SqliteStore.open(merged) as store:
        await store.start_session({})
        page = await store.fetch_pending(0, 500, 1e12)
        await store.commit_records([reply(each.position, each.attempts + 1) for each in page])
    assert bi.status(merged).counts.pending == bi.status(merged).counts.failed == 0
    assert verify_run(merged) == ()
    assert not bi.merge(shards, merged).has_changed


@pytest.mark.parametrize("version", [3, 4, 5])
async def test_runs_of_older_versions_are_merged(tmp_path, version):
    whole = await make_run(tmp_path / "whole", KEYS)
    shards = [
        await make_run(tmp_path / "one", KEYS[:50]),
        await make_run(tmp_path / "two", KEYS[50:]),
    ]
    for shard in shards:
        become(shard, version)
    bi.merge(shards, tmp_path / "merged")
    assert rows(tmp_path / "merged") == rows(whole)
    assert verify_run(tmp_path / "merged") == ()
    assert not bi.merge(shards, tmp_path / "merged").has_changed


async def test_sessions_keep_their_parameters_and_times(tmp_path):
    shards = await make_shards(tmp_path)
    bi.merge(shards, tmp_path / "merged")
    with sqlite3.connect(tmp_path / "merged" / "run.db") as db:
        merged = db.execute("SELECT version, started_at, params FROM sessions").fetchall()
        used = db.execute("SELECT DISTINCT session FROM attempts ORDER BY 1").fetchall()
    db.close()
    expected = []
    for shard in shards:
        with sqlite3.connect(shard / "run.db") as db:
            expected += db.execute("SELECT version, started_at, params FROM sessions").fetchall()
        db.close()
    assert merged == sorted(expected, key=lambda each: each[1])
    assert used == [(1,), (2,), (3,), (4,)]


OUTCOMES = {
    "pending": lambda position: [],
    "tried": lambda position: [failure(position)],
    "failed": lambda position: [failed(position)],
    "succeeded": lambda position: [reply(position, prediction="yes")],
    "file": lambda position: [reply(position, data=b"file", media_type="image/png")],
}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from([f"{n}.jpg" for n in range(9)]),
            st.sampled_from(["pending", "tried", "failed", "succeeded"]),
            max_size=9,
        ),
        min_size=1,
        max_size=4,
    )
)
async def test_of_whatever_runs_every_item_is_there_once_and_as_far_as_it_came(runs):
    with tempfile.TemporaryDirectory() as folder:
        made = [
            await make_run(
                Path(folder, f"run-{number}"),
                list(outcomes),
                records=lambda position, key, outcomes=outcomes: OUTCOMES[outcomes[key]](position),
            )
            for number, outcomes in enumerate(runs)
        ]
        merged = Path(folder, "merged")
        bi.merge(made, merged, partial=True)

        ranks = list(OUTCOMES)
        expected = {}
        for key, outcome in ((key, each[key]) for each in runs for key in each):
            expected[key] = max(expected.get(key, "pending"), outcome, key=ranks.index)
        states = {result.key: result.state for result in bi.results(merged)}
        assert states == {
            key: "pending" if outcome == "tried" else outcome for key, outcome in expected.items()
        }
        assert verify_run(merged) == ()
        before = fingerprint(merged)
        assert not bi.merge(made, merged, partial=True).has_changed
        assert fingerprint(merged) == before


# Order and completeness --------------------------------------------------------------------------


names = st.text(st.sampled_from("aB1._é \x01"), min_size=1, max_size=3).filter(
    lambda name: name.strip(".") and not name.startswith(".")
)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(names, min_size=1, max_size=3), max_size=12))
def test_keys_are_sorted_as_a_folder_is_read(paths):
    with tempfile.TemporaryDirectory() as folder:
        for parts in paths:
            path = Path(folder, *parts)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"x")
            except OSError:  # a name is both a file and a folder
                continue
        keys = [each.key for each in open_source([folder])]
    assert keys == sorted(keys, key=lambda key: make_folder_sort_key(key.encode()))


def part(shard=None, *, read=True, sources=("/a",)):
    counts = Counts(succeeded=1)
    return MergePart(Path("run"), sources, shard and Shard.parse(shard), read, counts)


@pytest.mark.parametrize(
    ("parts", "missing", "is_read"),
    [
        ([part()], [], True),
        ([part(read=False)], [], False),
        ([part("1/2"), part("2/2")], [], True),
        ([part("1/2"), part("2/2", read=False)], [], False),
        ([part("1/2")], ["2/2"], False),
        ([part("1/2"), part("2/3")], ["2/2", "1/3", "3/3"], False),
        ([part("1/2"), part("2/2"), part("2/3")], [], True),
        ([part("1/2"), part()], [], True),
        ([part("1/2"), part(read=False)], ["2/2"], False),
        ([part("1/2"), part(sources=("/a", "/b"))], [], True),
        ([part("1/2"), part("2/2", sources=("/b",))], ["2/2", "1/2"], False),
    ],
)
def test_whether_all_shards_are_there(parts, missing, is_read):
    assert list(map(str, find_missing_shards(parts))) == missing
    assert is_all_read(("/a",), parts) is is_read


async def test_the_summary_is_json(tmp_path):
    shards = await make_shards(tmp_path)
    summary = bi.merge(shards, tmp_path / "merged").as_json()
    assert json.loads(json.dumps(summary)) == summary
    assert summary["run"] == str(tmp_path / "merged")
