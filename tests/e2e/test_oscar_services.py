"""Any OSCAR service, from the command line to exports, killed in between and gone on with."""

import asyncio
import json
import os

import pytest

import batchinfer as bi
from batchinfer.store.verification import verify_run
from support.cli import TOKEN, batchinfer, config, png, rows, start, told, until
from support.local_bucket import keys
from support.oscar_services import (
    HAS_SUPERVISOR,
    oscar_service,
    read_lines,
    several,
    sha256,
    unpack,
)
from support.servers import ACCESS_KEY, SECRET_KEY, rclone_s3, reserved_port

PATTERNS = 'outputs = ["{stem}.json", "{stem}_mask.bin", "{stem}_parts/*"]'
INPUTS = {
    "a.json.in": b"json\nmeow",
    "b.png": png(7),
    "d.txt": b"text\nwhat it reads",
    "f.zipped": b"zip\ninside",
}
SEVERAL = {"e.several.tar.gz": b"several\nx"}
PRINTED = {"c.say": b"say\nhello", "g.fail": b"fail\n"}
"""Of these, there is nothing but what they print: nothing at all in a bucket."""
REAL = [pytest.param(True, id="real"), pytest.param(False, id="imitated")]


def configured(folder, service, options="", run=""):
    path = config(folder / "oscar.toml", service, run)
    path.write_text(f"{path.read_text()}\n[protocol]\n{options}\n")
    return path


def write(folder, files):
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def exported(run):
    return {row["key"]: row for row in read_lines(
        batchinfer("export", run, "-o", "-", "--format", "jsonl").stdout
    )}  # fmt: skip


def test_it_is_the_real_supervisor_that_is_tested():
    why = "OSCAR's supervisor is not installed (make supervisor): nothing of it was tested"
    if not HAS_SUPERVISOR and os.environ.get("CI") != "true":
        pytest.skip(why)
    assert HAS_SUPERVISOR, why


@pytest.fixture(scope="module", params=REAL)
def answered(request, tmp_path_factory):
    """What each kind of script brings, in both modes: the rows, and the folder with both runs."""
    if request.param and not HAS_SUPERVISOR:
        pytest.skip("OSCAR's supervisor is not installed (make supervisor)")
    folder = tmp_path_factory.mktemp("oscar")
    write(folder / "in", INPUTS)
    with oscar_service(folder / "service", real=request.param) as service:
        toml = configured(folder, service, 'quiet = "1s"')
        batchinfer("run", folder / "in", "-c", toml, "-o", folder / "async", "--mode", "async")
        write(folder / "in", {**SEVERAL, **PRINTED})
        batchinfer("run", folder / "in", "-c", toml, "-o", folder / "sync", code=1)
        toml = configured(folder, service, PATTERNS)
        inputs = write(folder / "in-several", SEVERAL)
        batchinfer("run", inputs, "-c", toml, "-o", folder / "several", "--mode", "async")
    return folder, {name: exported(folder / name) for name in ("sync", "async", "several")}


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_each_kind_of_output_is_kept_as_what_it_is(answered, mode):
    folder, found = answered
    one = found[mode]
    assert one["a.json.in"]["prediction"] == ["meow"]
    assert one["b.png"]["media_type"] == "image/png"
    picture = (folder / mode / one["b.png"]["prediction"]).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert picture != png(7)
    assert (one["d.txt"]["media_type"], one["d.txt"]["prediction"]) == (
        "text/plain",
        "what it reads",
    )
    assert one["f.zipped"]["media_type"] == "application/zip"
    zipped = (folder / mode / one["f.zipped"]["prediction"]).read_bytes()
    assert unpack(zipped) == {"a.txt": b"inside"}
    assert verify_run(folder / mode) == ()


def test_what_a_script_prints_is_the_answer_and_of_a_failed_one_the_failure(answered):
    _, found = answered
    assert found["sync"]["c.say"]["prediction"] == "moo: hello"
    failed = found["sync"]["g.fail"]
    assert (failed["code"], failed["message"]) == ("model_error", "ValueError: no such animal")


def test_what_leaves_nothing_in_the_bucket_is_one_failed_item_each(tmp_path):
    inputs = write(tmp_path / "in", PRINTED)
    with oscar_service(tmp_path / "service") as service:
        toml = configured(tmp_path, service, 'quiet = "1s"', 'max_attempts = 1\ntimeout = "5s"')
        batchinfer("run", inputs, "-c", toml, "-o", tmp_path / "run", "--mode", "async", code=1)
    assert {row["code"] for row in rows(tmp_path / "run")} == {"no_output"}


def test_several_outputs_are_a_zip_in_sync_mode(answered):
    folder, found = answered
    row = found["sync"]["e.several.tar.gz"]
    assert row["media_type"] == "application/zip"
    members = unpack((folder / "sync" / row["prediction"]).read_bytes())
    assert len(members) == 3
    assert b"x" in members.values()


def test_several_outputs_are_data_with_all_files_beside_it_in_async_mode(answered):
    folder, found = answered
    assert set(found["several"]["e.several.tar.gz"]["prediction"]) == {"sha256"}
    batchinfer("export", folder / "several", "-o", folder / "files", "--format", "files")
    unpacked = folder / "files" / "e.several.tar.gz.files"
    assert (unpacked / "output_parts" / "one.txt").read_bytes() == b"x"
    assert (unpacked / "output_mask.bin").read_bytes() == b"x"
    assert json.loads((unpacked / "output.json").read_text())
    assert "output_mask.bin" in batchinfer("show", folder / "several", "e.several.tar.gz").stdout


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("real", REAL)
def test_killed_and_resumed_nothing_is_lost_and_nothing_put_twice(real, mode, tmp_path):
    if real and not HAS_SUPERVISOR:
        pytest.skip("OSCAR's supervisor is not installed (make supervisor)")
    count, at_once = (10, 4) if real else (60, 12)
    inputs, run, journal = several(tmp_path / "in", count), tmp_path / "run", tmp_path / "journal"
    with oscar_service(tmp_path / "service", real=real, journal=str(journal)) as service:
        toml = configured(tmp_path, service, PATTERNS, f'mode = "{mode}"\nconcurrency = {at_once}')
        kills = 0
        for mark in (2, count // 2):
            process = start("run", inputs, "-c", toml, "-o", run, "-q")
            until(run, lambda counts, mark=mark: counts.finished >= mark, process)
            kills += process.poll() is None
            process.kill()
            process.communicate()
        batchinfer("run", inputs, "-c", toml, "-o", run, "-q")
        started = [line["sha256"] for line in service.read_journal() if line["event"] == "started"]

    assert kills >= 1
    found = rows(run)
    assert [row["key"] for row in found] == [f"{number:03d}.several.in" for number in range(count)]
    assert {row["state"] for row in found} == {"succeeded"}
    if mode == "async":
        assert [row["prediction"]["sha256"] for row in found] == [*map(sha256, range(count))]
        assert len(started) == len(set(started)) == count
    else:
        assert count <= len(started) <= count + 2 * 2 * at_once
    assert verify_run(run) == ()
    assert len(list((run / "outputs").glob("*.zip"))) == count


def test_what_is_recorded_is_deleted_from_the_bucket_when_it_is_asked_for(tmp_path):
    inputs = several(tmp_path / "in", 6)
    with oscar_service(tmp_path / "service") as service:
        toml = configured(tmp_path, service, PATTERNS, 'mode = "async"')
        batchinfer("run", inputs, "-c", toml, "-o", tmp_path / "one", "--clean")
        assert asyncio.run(keys(service)) == {"inputs/", "outputs/"}
        batchinfer("run", inputs, "-c", toml, "-o", tmp_path / "two")
        assert len(asyncio.run(keys(service))) == 2 + 6 * 4
        batchinfer("clean", tmp_path / "two")
        assert asyncio.run(keys(service)) == {"inputs/", "outputs/"}
    assert {row["state"] for row in (*rows(tmp_path / "one"), *rows(tmp_path / "two"))} == {
        "succeeded"
    }


def test_inputs_that_are_submitted_are_collected_later(tmp_path):
    inputs, run = several(tmp_path / "in", 6), tmp_path / "run"
    with oscar_service(tmp_path / "service") as service:
        toml = configured(tmp_path, service, PATTERNS)
        batchinfer("submit", inputs, "-c", toml, "-o", run)
        names = {key for key in asyncio.run(keys(service)) if key.startswith("inputs/")}
        assert all(key.endswith(".in") and key.count(".") == 1 for key in names - {"inputs/"})
        batchinfer("collect", run)
    assert {row["state"] for row in rows(run)} == {"succeeded"}


def test_an_output_that_is_never_written_is_named(tmp_path):
    inputs, run = several(tmp_path / "in", 1), tmp_path / "run"
    with oscar_service(tmp_path / "service") as service:
        options = 'outputs = ["{stem}.json", "{stem}.tif"]\nquiet = "1s"'
        toml = configured(tmp_path, service, options, 'mode = "async"\nmax_attempts = 1')
        batchinfer("run", inputs, "-c", toml, "-o", run, code=1)
    (row,) = exported(run).values()
    assert row["code"] == "outputs_incomplete"
    assert "{stem}.tif" in row["message"]


def test_an_option_that_cannot_be_is_refused_before_anything_is_sent(tmp_path):
    write(tmp_path / "in", {"a.txt": b"a"})
    (tmp_path / "oscar.toml").write_text(
        '[service]\nprotocol = "oscar"\nendpoint = "http://127.0.0.1:9/run/x"\n'
        f'token = "{TOKEN}"\n[protocol]\nqiuet = "3s"\n'
    )
    error = told(tmp_path, "run", "in", "-c", "oscar.toml", "-o", "run")
    assert "[protocol] qiuet is no option of this protocol" in error
    assert not (tmp_path / "run").exists()


def test_parameters_are_refused_before_anything_is_sent(tmp_path):
    write(tmp_path / "in", {"a.txt": b"a"})
    (tmp_path / "oscar.toml").write_text(
        '[service]\nprotocol = "oscar"\nendpoint = "http://127.0.0.1:9/run/x"\n'
        f'token = "{TOKEN}"\n[params]\nsize = 3\n'
    )
    error = told(tmp_path, "run", "in", "-c", "oscar.toml", "-o", "run")
    assert "an OSCAR service gets the file and nothing else" in error


def test_a_wrong_token_ends_the_run_resumable_and_stands_nowhere(tmp_path):
    inputs, run = several(tmp_path / "in", 2), tmp_path / "run"
    with oscar_service(tmp_path / "service") as service:
        toml = configured(tmp_path, service)
        right, wrong = service.connection.token, "f" * 64
        toml.write_text(toml.read_text().replace(right, wrong))
        refused = batchinfer("run", inputs, "-c", toml, "-o", run, "--mode", "sync", code=3)
        assert "unauthorized" in refused.stderr or "refused the token" in refused.stderr
        toml.write_text(toml.read_text().replace(wrong, right))
        batchinfer("run", inputs, "-c", toml, "-o", run, "--mode", "sync")
    assert bi.status(run).counts.succeeded == 2
    assert right.encode() not in (run / "run.db").read_bytes()


def test_outputs_may_come_to_another_bucket(tmp_path):
    """The inputs of one bucket, as a real S3 server keeps them, become outputs in another."""
    inputs, run = several(tmp_path / "in", 3), tmp_path / "run"
    store = tmp_path / "store"
    for name in ("one", "two"):
        (store / name).mkdir(parents=True)
    with reserved_port() as port, rclone_s3(store, port):
        (tmp_path / "oscar.toml").write_text(
            f'[service]\nprotocol = "oscar"\n[bucket]\nendpoint = "http://127.0.0.1:{port}"\n'
            f'name = "one"\naccess_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"\n'
            '[protocol]\noutput_bucket = "two"\ninput_path = "fish/in"\noutput_path = "fish/out"\n'
            'outputs = "{stem}*"\n'
        )
        batchinfer("submit", inputs, "-c", tmp_path / "oscar.toml", "-o", run)
        names = sorted(path.name for path in (store / "one" / "fish" / "in").iterdir())
        (store / "two" / "fish" / "out").mkdir(parents=True)
        for name in names:
            (store / "two" / "fish" / "out" / f"{name}.json").write_text(json.dumps([name[:10]]))
        batchinfer("collect", run, "--clean")
        left = [path for path in store.rglob("*") if path.is_file()]
    assert len(names) == 3
    assert {row["state"] for row in rows(run)} == {"succeeded"}
    assert left == []


def test_it_describes_no_model_and_says_so(tmp_path):
    with oscar_service(tmp_path / "service") as service:
        toml = configured(tmp_path, service)
        said = batchinfer("describe", "-c", toml, code=3).stderr
        assert "services of this kind do not describe their model" in said
        checked = batchinfer("check", "-c", toml, "--json").stdout
    states = {
        (line["check"], line["mode"]): line["state"] for line in json.loads(checked)["checks"]
    }
    assert states["config", "sync"] == states["list", "async"] == "good"
