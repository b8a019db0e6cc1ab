"""Run directories by the command line, as far as no service is needed: no file can be sent."""

import csv
import io
import json
import signal
import subprocess

import pytest

from batchinfer.store.lock import LOCK_NAME, RunLock, is_run_locked
from support.cli import TOKEN, batchinfer, clean_environment, command, told
from support.records import failed, item, made, reply

pytestmark = pytest.mark.event_loops("asyncio", "trio")

ENV = clean_environment(OSCAR_TOKEN=TOKEN)


@pytest.fixture
def desk(tmp_path):
    """A folder to work in, whose photos are all empty: they fail before anything is sent."""
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg", "odd \x1b[31mname.jpg"):
        (tmp_path / "photos" / name).touch()
    (tmp_path / "photos" / "gone.jpg").symlink_to("nowhere")
    (tmp_path / "batchinfer.toml").write_text(
        '[service]\nendpoint = "http://127.0.0.1:9/run/nobody"\ntoken = "${OSCAR_TOKEN}"\n'
    )
    return tmp_path


def do(desk, *args, code=0):
    return batchinfer(*args, code=code, cwd=desk, env=ENV)


def test_a_run_whose_items_fail_ends_with_1_and_says_what_to_do(desk):
    done = do(desk, "run", "photos", code=1)

    assert "Results go to photos-run" in done.stderr
    assert "0 succeeded, 4 failed (file_empty 3, file_missing 1) of 4" in done.stderr
    assert "batchinfer status photos-run" in done.stderr
    assert done.stdout == ""


def test_the_same_line_continues_a_run(desk):
    do(desk, "run", "photos", "-o", "out", code=1)
    (desk / "photos" / "new.jpg").touch()

    assert "5 failed" in do(desk, "run", "photos", "-o", "out", code=1).stderr


def test_quiet_says_nothing(desk):
    done = do(desk, "run", "photos", "-q", code=1)

    assert (done.stdout, done.stderr) == ("", "")


def test_json_is_all_of_stdout_and_ends_with_the_summary(desk):
    *_, last = map(json.loads, do(desk, "run", "photos", "--json", code=1).stdout.splitlines())

    assert last["event"] == "summary"
    assert last["failures"] == {"file_empty": 3, "file_missing": 1}
    assert last["exit_code"] == 1


def test_verbose_json_names_the_key_of_each_failure(desk):
    lines = do(desk, "run", "photos", "--json", "-v", code=1).stdout.splitlines()
    failures = [line for line in map(json.loads, lines) if line["event"] == "failure"]

    assert {line["key"] for line in failures} >= {"a.jpg", "b.jpg", "gone.jpg"}
    assert all(line["final"] for line in failures)


def test_an_aborted_run_tells_a_program_why_and_ends_with_the_summary(desk):
    done = do(desk, "run", "photos", "-o", "out", "--max-failures", 0, "--json", code=3)
    *_, error, summary = map(json.loads, done.stdout.splitlines())

    assert (error["event"], error["code"]) == ("error", "too_many_failures")
    assert (summary["event"], summary["exit_code"]) == ("summary", 3)
    assert "batchinfer resume out" in done.stderr


def test_a_refused_run_tells_a_program_why(desk):
    done = do(desk, "run", "nowhere", "--json", code=2)

    assert json.loads(done.stdout)["code"] == "source_error"
    assert done.stderr.splitlines()[-1].startswith("error: nowhere")


def test_status_in_words_and_as_json(desk):
    do(desk, "run", "photos", "-o", "out", code=1)

    said = do(desk, "status", "out").stdout
    assert "4 of 4 done (100%), sync mode" in said
    assert "batchinfer retry out --code file_empty" in said
    assert "batchinfer resume" not in said
    assert json.loads(do(desk, "status", "out", "--json").stdout) == {
        "run": "out",
        "mode": "sync",
        "shard": None,
        "total": 4,
        "pending": 0,
        "submitted": 0,
        "succeeded": 0,
        "failed": 4,
        "failures": {"file_empty": 3, "file_missing": 1},
        "reused": 0,
        "watched": False,
    }


def test_retry_makes_failed_items_pending_and_resume_takes_them(desk):
    do(desk, "run", "photos", "-o", "out", code=1)

    one = do(desk, "retry", "out", "--key", "a.jpg").stderr
    assert "1 item is pending again; go on with: batchinfer resume out" in one
    assert "1 item is" in do(desk, "retry", "out", "--code", "file_missing").stderr
    assert "batchinfer resume out" in do(desk, "status", "out").stdout
    assert "4 failed" in do(desk, "resume", "out", code=1).stderr


def test_retry_that_matches_nothing_says_what_there_is(desk):
    do(desk, "run", "photos", "-o", "out", code=1)

    assert "file_empty (3), file_missing (1)" in told(desk, "retry", "out", "--code", "timeout")
    assert "did not fail with 'timeout'" in told(
        desk, "retry", "out", "--key", "a.jpg", "--code", "timeout"
    )
    assert "'a.jpg'" in told(desk, "retry", "out", "--key", "a.jpeg")


def test_export_by_extension_state_and_to_standard_output(desk):
    do(desk, "run", "photos", "-o", "out", code=1)

    assert "4 rows written to r.csv" in do(desk, "export", "out", "-o", "r.csv").stderr
    rows = list(csv.DictReader(io.StringIO((desk / "r.csv").read_text())))
    assert [row["key"] for row in rows][:2] == ["a.jpg", "b.jpg"]
    piped = do(desk, "export", "out", "-o", "-", "--state", "failed").stdout.splitlines()
    assert {json.loads(line)["code"] for line in piped} == {"file_empty", "file_missing"}
    done = do(desk, "export", "out", "-o", "s.jsonl", "--state", "succeeded")
    assert "0 rows" in done.stderr


def test_export_refuses_what_it_does_not_know(desk):
    do(desk, "run", "photos", "-o", "out", code=1)

    assert "r.xlsx" in told(desk, "export", "out", "-o", "r.xlsx")
    assert "The folder no does not exist" in told(desk, "export", "out", "-o", "no/where.csv")


def test_show_never_sends_control_characters_to_the_terminal(desk):
    do(desk, "run", "photos", "-o", "out", code=1)

    said = do(desk, "show", "out", "odd \x1b[31mname.jpg").stdout
    assert "file_empty" in said
    assert "\x1b" not in said + do(desk, "status", "out").stdout


async def test_show_has_the_prediction_every_attempt_and_the_log(desk):
    prediction = [{"name": "bear", "p": 0.5}]
    records = [reply(1, prediction=prediction, log="one\n\x1b[31mtwo"), failed(2)]
    await made(desk / "out", [item("a.jpg", imgsz=32), item("b.jpg")], records)

    said = do(desk, "show", "out", "a.jpg").stdout
    assert '"name": "bear"' in said
    assert "imgsz = 32" in said
    assert r"  \x1b[31mtwo" in said
    found = json.loads(do(desk, "show", "out", "b.jpg", "--json").stdout)
    assert (found["state"], found["code"], found["attempts"]) == ("failed", "model_error", 1)
    assert [attempt["code"] for attempt in found["history"]] == ["model_error"]


def test_show_of_an_unknown_key_names_the_nearest(desk):
    do(desk, "run", "photos", "-o", "out", code=1)

    assert "'a.jpg'" in told(desk, "show", "out", "a.jpeg")


@pytest.mark.parametrize(
    "args",
    [
        ["status", "out"],
        ["resume", "out"],
        ["collect", "out"],
        ["submit", "-o", "out"],
        ["retry", "out"],
        ["show", "out", "k"],
        ["export", "out", "-o", "r.csv"],
    ],
)
def test_a_directory_without_a_run_is_refused_and_not_touched(desk, args):
    assert "out holds no run" in told(desk, *args, code=3)
    assert not (desk / "out").exists()
    assert not (desk / "r.csv").exists()


def test_a_directory_with_something_else_in_it_is_refused(desk):
    assert "-o" in told(desk, "run", "photos", "-o", "photos", code=3)


def test_a_damaged_run_is_told(desk):
    (desk / "out").mkdir()
    (desk / "out" / "run.db").write_text("something else" * 100)

    for args in (["status", "out"], ["resume", "out"], ["run", "photos", "-o", "out"]):
        assert "run.db" in told(desk, *args, code=3)


def test_a_run_that_another_process_works_on_can_be_read_only(desk):
    do(desk, "run", "photos", "-o", "out", code=1)

    with RunLock(desk / "out"):
        assert "Another process" in told(desk, "resume", "out", code=3)
        assert "Another process" in told(desk, "retry", "out", code=3)
        do(desk, "status", "out")
        do(desk, "export", "out", "-o", "r.csv")


def test_a_run_that_another_process_has_just_begun_is_left_alone(desk):
    with RunLock(desk / "out"):
        assert "Another process" in told(desk, "run", "photos", "-o", "out", code=3)
        assert is_run_locked(desk / "out")


def test_a_run_refuses_other_parameters_until_it_is_forced(desk):
    do(desk, "run", "photos", "-o", "out", "--param", "imgsz=32", code=1)

    says = told(desk, "run", "photos", "-o", "out", "--param", "imgsz=64", code=3)
    assert "params.imgsz 32 (you asked for 64)" in says
    do(desk, "run", "photos", "-o", "out", "--param", "imgsz=64", "--force", code=1)


@pytest.mark.parametrize("moment", [LOCK_NAME, ".stdin.manifest.part"])
def test_who_gives_up_before_a_manifest_has_come_gives_up_the_run(desk, moment):
    with subprocess.Popen(
        command("run", "-", "-o", "out"),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=desk,
        env=ENV,
    ) as process:
        while not (desk / "out" / moment).exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130  # its standard input is still open
        assert b"Stopping before anything was sent" in process.stderr.read()
    assert not (desk / "out").exists()


def test_halves_of_async_mode_refuse_a_sync_run(desk):
    do(desk, "run", "photos", "-o", "out", code=1)

    assert "out is a sync run" in told(desk, "collect", "out")


def test_a_secret_in_the_default_config_is_read_again(desk):
    config = desk / "batchinfer.toml"
    config.write_text(config.read_text().replace("${OSCAR_TOKEN}", TOKEN))
    do(desk, "run", "photos", "-o", "out", code=1)
    do(desk, "retry", "out")

    assert "Secrets are taken from" in do(desk, "resume", "out", code=1).stderr
    assert TOKEN.encode() not in (desk / "out" / "run.db").read_bytes()
    do(desk, "retry", "out")
    config.rename(desk / "other.toml")
    assert "name the file with -c" in told(desk, "resume", "out")
