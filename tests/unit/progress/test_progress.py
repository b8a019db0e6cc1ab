import io
import json
import os
import pty
import re
import termios

import pytest

from batchinfer.domain import Attempt, Counts, Failure, FailureKind, Mode, Record, Reply, State
from batchinfer.ports import Committed, LimitChanged, Notice, OutageEnded, OutageOngoing, Progress
from batchinfer.progress import (
    JsonDisplay,
    LogDisplay,
    QuietDisplay,
    RateWindow,
    Summary,
    choose_display,
    format_rate,
)
from batchinfer.progress.bar_display import BarDisplay
from batchinfer.progress.progress_format import format_codes, format_done, format_progress
from batchinfer.text_format import escape_unprintable, format_duration

ESC = "\x1b"


class FakeClock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return FakeClock()


def success(position):
    return Record(position, Attempt(1, 0.0, 1.0, Reply(prediction={})), State.SUCCEEDED)


def failure(position, code="model_error", message="boom", state=State.FAILED, key=""):
    kind = FailureKind.PERMANENT if state is State.FAILED else FailureKind.TRANSIENT
    outcome = Failure(code, message, kind)
    return Record(position, Attempt(1, 0.0, 1.0, outcome), state, key=key)


def recorded(*records, counts=None, in_flight=0, complete=True, failed=None, **flow):
    counts = counts or Counts(pending=90, succeeded=10)
    return Committed(records, Progress(counts, in_flight, complete, failed or {}, **flow))


def moved(was, value, reason="few wait"):
    return LimitChanged(0.0, was, value, reason)


def summary(**changes):
    values = {
        "run": "runs/x",
        "mode": Mode.SYNC,
        "counts": Counts(pending=2, succeeded=1990, failed=10),
        "failures": {"model_error": 9, "timeout": 1},
        "seconds": 723.4567,
        "exit_code": 1,
    }
    return Summary(**values | changes)


# --- words


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0s"),
        (0.4, "0s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (723, "12m 03s"),
        (3600, "1h 00m"),
        (3900, "1h 05m"),
        (86_400 * 2 + 3600 * 3, "2d 03h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds, shown):
    assert format_duration(seconds) == shown


@pytest.mark.parametrize(
    ("per_second", "shown"),
    [
        (1234.5, "1,234/s"),
        (42.4, "42/s"),
        (4.24, "4.2/s"),
        (0.2, "12/min"),
        (0.05, "3.0/min"),
        (0.001, "3.6/h"),
        (0.0001, "less than 1/h"),
        (0.0, "0/s"),
    ],
)
def test_a_rate_has_the_unit_that_makes_it_readable(per_second, shown):
    assert format_rate(per_second) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain text, größe, 猫", "plain text, größe, 猫"),
        (f"{ESC}[2Jgone", r"\x1b[2Jgone"),
        ("a\rb\nc\td\x7f\x9b", r"a\rb\nc\td\x7f\x9b"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("line\u2028line", r"line\u2028line"),
        ("bad\udcff", r"bad\udcff"),
    ],
)
def test_what_a_terminal_would_act_on_is_spelled_out(raw, shown):
    assert escape_unprintable(raw) == shown
    assert escape_unprintable(raw).isprintable()


def test_the_most_frequent_codes_are_told_and_the_others_counted():
    failures = {"a": 1, "timeout": 300, "model_error": 1200, "b": 1, "http_413": 7}

    assert format_codes(failures) == "model_error 1,200, timeout 300, http_413 7, 2 more codes"
    assert format_codes({"a": 1}) == "a 1"
    assert format_codes({}) == ""


def test_all_but_one_is_not_a_hundred_percent():
    nearly = Progress(Counts(pending=1, succeeded=9999), 1, is_source_complete=True)

    assert format_done(nearly) == "9,999/10,000  99%"


def test_there_is_no_share_while_the_source_is_being_read():
    assert (
        format_done(Progress(Counts(90, 0, 10), 1, is_source_complete=False))
        == "10 of 100 found so far"
    )


def test_how_it_goes_leaves_out_what_is_not_known():
    progress = Progress(Counts(pending=5), 0, is_source_complete=True)

    assert format_progress(progress) == ""
    assert format_progress(progress, 2.0) == "2.0/s"


@pytest.mark.parametrize(
    ("counts", "in_flight", "flow", "shown"),
    [
        (Counts(5), 12, {"limit": 16, "estimated_servers": 9.7}, "12/16 in flight, ~10 serving"),
        (Counts(5), 12, {"limit": 4}, "12/4 in flight"),
        (Counts(5), 3, {"limit": 16, "paused": True}, "paused, 3/16 in flight"),
        (Counts(5), 0, {"limit": 16, "paused": True}, "paused"),
        (Counts(5, 40), 2, {"limit": 1000}, "40/1,000 submitted, 2 in flight"),
        (Counts(0, 40), 0, {}, "40 submitted"),
    ],
)
def test_what_is_in_flight_is_told_with_its_limit(counts, in_flight, flow, shown):
    assert format_progress(Progress(counts, in_flight, is_source_complete=True, **flow)) == shown


# --- the recent rate


def test_no_rate_is_given_in_the_first_second():
    window = RateWindow(0.0, 0)
    window.add_sample(0.5, 400)

    assert window.compute_rate(0.9) is None
    assert window.compute_rate(2.0) == 200


def test_the_rate_forgets_what_is_older_than_the_window():
    window = RateWindow(0.0, 0)
    for second in range(1, 601):
        window.add_sample(second, second)
    for second in range(601, 661):
        window.add_sample(second, 600 + (second - 600) * 10)

    assert window.compute_rate(660.0) == pytest.approx(10, rel=0.05)


def test_the_rate_falls_to_zero_when_nothing_happens_any_more():
    window = RateWindow(0.0, 0)
    window.add_sample(10.0, 100)

    assert window.compute_rate(20.0) == 5
    assert window.compute_rate(69.0) == pytest.approx(100 / 60)
    assert window.compute_rate(71.0) == 0


def test_the_window_keeps_few_samples_however_often_it_is_told():
    window = RateWindow(0.0, 0)
    for tick in range(200_000):
        window.add_sample(tick / 1000, tick)

    assert len(window._samples) < 65
    assert window.compute_rate(200.0) == pytest.approx(1000, rel=0.02)


# --- lines


def lines_of(stream):
    return stream.getvalue().splitlines()


def test_lines_say_how_it_goes_after_ten_seconds_and_then_every_thirty(clock):
    stream = io.StringIO()
    display = LogDisplay(stream, clock=clock)
    for second in range(71):
        clock.now = 1000.0 + second
        display.notify(
            recorded(
                success(second),
                counts=Counts(pending=99 - second, succeeded=second + 1),
                in_flight=4,
            )
        )

    assert lines_of(stream) == [
        "11/100  11%, 1.0/s, 50s to 2m 10s left, 4 in flight",
        "41/100  41%, 1.0/s, 45s to 1m 18s left, 4 in flight",
        "71/100  71%, 1.0/s, ETA 29s, 4 in flight",
    ]


def test_what_an_earlier_process_finished_does_not_count_as_speed(clock):
    stream = io.StringIO()
    display = LogDisplay(stream, clock=clock)
    clock.now += 10
    display.notify(recorded(success(1), counts=Counts(pending=100, succeeded=5001)))

    assert lines_of(stream) == ["5,001/5,101  98%, 6.0/min, ETA 16m 40s"]


def test_there_is_no_eta_while_the_source_is_being_read_or_nothing_is_finished(clock):
    stream = io.StringIO()
    display = LogDisplay(stream, clock=clock)
    clock.now += 10
    display.notify(recorded(success(1), counts=Counts(99, 0, 1), complete=False))
    clock.now += 100
    display.notify(recorded(counts=Counts(99, 0, 1)))

    assert lines_of(stream) == ["1 of 100 found so far, 6.0/min", "1/100   1%, 0/s"]


def test_a_code_is_told_once_when_it_first_appears_with_its_example(clock):
    stream = io.StringIO()
    display = LogDisplay(stream, clock=clock)
    for position in (1, 2):
        display.notify(
            recorded(
                failure(position, key=f"cats/{position}.jpg"), failed={"model_error": position}
            )
        )
    display.notify(
        recorded(
            failure(3, "timeout", "too slow", key="cats/3.jpg"),
            failed={"model_error": 2, "timeout": 1},
        )
    )
    display.notify(recorded(failure(4, "http_503", state=State.PENDING), failed={}))

    assert lines_of(stream) == [
        "cats/1.jpg: failed: model_error: boom",
        "cats/3.jpg: failed: timeout: too slow",
    ]


def test_verbose_tells_every_failed_attempt(clock):
    stream = io.StringIO()
    display = LogDisplay(stream, clock=clock, verbose=True)
    display.notify(recorded(success(1), failure(2), failure(3, "http_503", "full", State.PENDING)))
    display.notify(recorded(failure(4, message=f"{ESC}[31mred\nline")))

    assert lines_of(stream) == [
        "item 2: failed: model_error: boom",
        "item 3: will be tried again: http_503: full",
        r"item 4: failed: model_error: \x1b[31mred\nline",
    ]


def test_a_long_message_is_cut(clock):
    stream = io.StringIO()
    LogDisplay(stream, clock=clock).notify(Notice("n", "x" * 10_000))

    assert len(stream.getvalue()) < 320


def test_warming_up_is_told_at_its_beginning_now_and_then_and_at_its_end(clock):
    stream = io.StringIO()
    display = LogDisplay(stream, clock=clock)
    for second in range(0, 46, 5):
        clock.now = 1000.0 + second
        display.notify(OutageOngoing("cold_start", "the service is being started", second, 900))
    display.notify(recorded(failure(1, "file_empty"), counts=Counts(9, 0, 0, 1)))
    display.notify(OutageEnded("cold_start", 46))

    assert lines_of(stream) == [
        "warming up 0s of at most 15m 00s: the service is being started",
        "still warming up 10s of at most 15m 00s",
        "still warming up 40s of at most 15m 00s",
        "warming up: over after 46s",
    ]


def test_lines_end_with_how_it_ended(clock):
    stream = io.StringIO()
    LogDisplay(stream, clock=clock).close(summary())

    assert lines_of(stream) == [
        "1,990 succeeded, 10 failed (model_error 9, timeout 1), 2 still to do of 2,002 in 12m 03s"
    ]


@pytest.mark.parametrize("display", [BarDisplay, LogDisplay])
def test_a_limit_that_moves_is_told_to_who_wants_to_know_more(display, clock):
    quiet, verbose = io.StringIO(), io.StringIO()
    display(quiet, clock=clock).notify(moved(8, 16))
    display(verbose, clock=clock, verbose=True).notify(
        moved(8, 16, "about 6 are served at a time, few wait")
    )

    assert quiet.getvalue() == ""
    assert lines_of(verbose) == ["concurrency 8 -> 16: about 6 are served at a time, few wait"]


# --- JSON


def objects_of(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_says_where_the_run_stands_once_a_second(clock):
    stream = io.StringIO()
    display = JsonDisplay(stream, clock=clock)
    for tick in range(25):
        clock.now = 1000.0 + tick / 10
        display.notify(
            recorded(
                success(tick),
                counts=Counts(pending=99 - tick, succeeded=tick + 1),
                in_flight=3,
                failed={"timeout": 1},
                limit=16,
                estimated_servers=9.7321,
            )
        )

    said = objects_of(stream)
    assert [each["succeeded"] for each in said] == [1, 11, 21]
    assert said[0]["rate"] is None
    assert said[0]["eta_seconds"] is None
    assert said[2] == {
        "event": "progress",
        "total": 100,
        "complete": True,
        "pending": 79,
        "submitted": 0,
        "succeeded": 21,
        "failed": 0,
        "in_flight": 3,
        "failures": {"timeout": 1},
        "rate": 10.5,
        "eta_seconds": 8,
        "eta_range": [5, 11],
        "limit": 16,
        "serving": 9.7,
        "paused": False,
        "watching": False,
    }


def test_json_tells_steps_of_the_limit_within_a_second_as_one(clock):
    stream = io.StringIO()
    display = JsonDisplay(stream, clock=clock)
    for tick, (was, value) in enumerate([(8, 16), (16, 32), (32, 24)]):
        clock.now = 1000.0 + tick / 10
        display.notify(moved(was, value, f"step {tick}"))
    assert [line["value"] for line in objects_of(stream)] == [16]

    clock.now += 1
    display.notify(Notice("changed", "what else happens brings it out"))
    display.notify(moved(24, 25, "last"))
    display.close(summary())
    assert [line for line in objects_of(stream) if line["event"] == "limit"] == [
        {"event": "limit", "was": 8, "value": 16, "reason": "step 0"},
        {"event": "limit", "was": 16, "value": 24, "reason": "step 2"},
        {"event": "limit", "was": 24, "value": 25, "reason": "last"},
    ]


def test_json_tells_waits_once_a_second_notices_always_and_the_summary_last(clock):
    stream = io.StringIO()
    display = JsonDisplay(stream, clock=clock)
    display.notify(Notice("changed", "2 files changed"))
    display.notify(OutageOngoing("cold_start", "empty 502", 0.04, 900.0))
    display.notify(OutageOngoing("cold_start", "empty 502", 0.05, 900.0))
    clock.now += 1
    display.notify(OutageOngoing("cold_start", "empty 502", 1.04, 900.0))
    display.close(summary())

    wait = {"event": "waiting", "code": "cold_start", "message": "empty 502", "limit": 900.0}
    assert objects_of(stream) == [
        {"event": "notice", "code": "changed", "message": "2 files changed"},
        wait | {"seconds": 0.0},
        wait | {"seconds": 1.0},
        {
            "event": "summary",
            "run": "runs/x",
            "mode": "sync",
            "total": 2002,
            "pending": 2,
            "submitted": 0,
            "succeeded": 1990,
            "failed": 10,
            "failures": {"model_error": 9, "timeout": 1},
            "reused": 0,
            "seconds": 723.457,
            "exit_code": 1,
        },
    ]


def test_verbose_json_tells_every_failed_attempt_on_one_ascii_line(clock):
    stream = io.StringIO()
    display = JsonDisplay(stream, clock=clock, verbose=True)
    display.notify(recorded(success(1), failure(2, message="two\nlines\udcff", key="größe.jpg")))

    assert stream.getvalue().isascii()
    assert objects_of(stream)[0] == {
        "event": "failure",
        "position": 2,
        "key": "größe.jpg",
        "attempt": 1,
        "final": True,
        "code": "model_error",
        "message": "two\nlines\udcff",
    }


# --- the bar


def drawings(text):
    return [each.strip() for each in re.split(r"[\r\n]+", text) if each.strip()]


def test_the_bar_shows_done_rate_eta_in_flight_and_failures(clock):
    stream = io.StringIO()
    bar = BarDisplay(stream, clock=clock)
    bar.notify(recorded(counts=Counts(pending=200)))
    clock.now += 10
    bar.notify(
        recorded(
            *(success(position) for position in range(98)),
            counts=Counts(pending=100, succeeded=98, failed=2),
            in_flight=8,
            failed={"model_error": 2},
            limit=9,
        )
    )

    last = drawings(stream.getvalue())[-1]
    assert last.startswith("100/200  50% |")
    assert last.endswith("| 10/s, ETA 10s, 8/9 in flight, 2 failed: model_error 2")
    assert len(last) == 79


def test_the_bar_has_no_bar_while_the_total_grows(clock):
    stream = io.StringIO()
    bar = BarDisplay(stream, clock=clock)
    for total in (100, 200):
        bar.notify(recorded(counts=Counts(pending=total), complete=False, in_flight=1))
        clock.now += 1

    assert drawings(stream.getvalue()) == [
        "0 of 100 found so far  1 in flight",
        "0 of 200 found so far  0/s, 1 in flight",
    ]


def test_the_bar_shows_warming_up_until_it_is_warm(clock):
    stream = io.StringIO()
    bar = BarDisplay(stream, clock=clock)
    bar.notify(recorded(counts=Counts(pending=10)))
    bar.notify(OutageOngoing("cold_start", "empty 502", 0.0, 900.0))
    clock.now += 45
    bar.notify(OutageOngoing("cold_start", "empty 502", 45.0, 900.0))
    clock.now += 1
    bar.notify(OutageEnded("cold_start", 46.0))

    drawn = drawings(stream.getvalue())
    assert "warming up 0s of at most 15m 00s" in drawn[1]
    assert "warming up 45s of at most 15m 00s" in drawn[2]
    assert "warming up" not in drawn[3]


def test_the_bar_shows_at_once_that_the_run_is_paused_and_that_it_goes_on(clock):
    stream = io.StringIO()
    bar = BarDisplay(stream, clock=clock)
    for paused in (False, True, False):
        bar.notify(recorded(paused=paused))

    drawn = drawings(stream.getvalue())
    assert ["paused" in each for each in drawn] == [False, True, False]


def test_a_bar_that_is_left_leaves_its_last_drawing_and_a_free_line(clock):
    stream = io.StringIO()
    bar = BarDisplay(stream, clock=clock)
    bar.notify(recorded(counts=Counts(1, 0, 1)))
    bar.release_stream()

    assert stream.getvalue().endswith("\n")
    assert "succeeded" not in stream.getvalue()


def test_the_bar_is_drawn_ten_times_a_second_at_most(clock):
    stream = io.StringIO()
    bar = BarDisplay(stream, clock=clock)
    for tick in range(1000):
        clock.now = 1000.0 + tick / 1000
        bar.notify(recorded(success(tick), counts=Counts(1000 - tick, 0, tick)))

    assert len(drawings(stream.getvalue())) <= 11


def test_notices_and_failures_stand_above_the_bar_and_the_end_below_it(clock):
    stream = io.StringIO()
    bar = BarDisplay(stream, clock=clock, verbose=True)
    bar.notify(recorded(counts=Counts(pending=2)))
    bar.notify(Notice("changed", "one file changed"))
    clock.now += 1
    bar.notify(recorded(success(1), failure(2, message=f"{ESC}[2J"), counts=Counts(0, 0, 1, 1)))
    bar.close(summary(counts=Counts(0, 0, 1, 1), failures={"model_error": 1}, seconds=1))

    assert ESC not in stream.getvalue().replace(f"{ESC}[A", "")
    lines = stream.getvalue().split("\n")
    assert lines[0].endswith("\rnote: one file changed")
    assert lines[1].endswith("\r" + r"item 2: failed: model_error: \x1b[2J")
    assert "2/2 100%" in lines[2].split("\r")[-1]
    assert lines[3:] == ["1 succeeded, 1 failed (model_error 1) of 2 in 1s", ""]


def test_a_bar_that_was_never_drawn_ends_with_one_line(clock):
    stream = io.StringIO()
    BarDisplay(stream, clock=clock).close(summary(counts=Counts(0, 0, 3), seconds=2))

    assert lines_of(stream) == ["3 succeeded of 3 in 2s"]


# --- streams that nobody reads


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("display", [BarDisplay, LogDisplay, JsonDisplay])
@pytest.mark.parametrize("make", [Broken, closed])
def test_no_display_raises_when_nobody_reads(display, make, clock):
    shown = display(make(), clock=clock, verbose=True)
    for event in (
        Notice("a", "b"),
        OutageOngoing("cold_start", "empty 502", 1.0, 900.0),
        moved(1, 2),
        recorded(failure(1), failed={"model_error": 1}),
    ):
        clock.now += 60
        shown.notify(event)
    shown.close(summary())


def test_signs_that_the_stream_does_not_have_are_spelled_out(clock):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    LogDisplay(stream, clock=clock, verbose=True).notify(recorded(failure(1, key="größe.jpg")))

    assert raw.getvalue() == rb"gr\xf6\xdfe.jpg: failed: model_error: boom" + b"\n"


# --- the choice


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, LogDisplay),
        ({"verbose": True}, LogDisplay),
        ({"quiet": True}, QuietDisplay),
        ({"json": True}, JsonDisplay),
        ({"json": True, "quiet": True}, JsonDisplay),
    ],
)
def test_the_display_is_chosen_by_the_flags(options, kind):
    assert type(choose_display(io.StringIO(), io.StringIO(), **options)) is kind


def test_a_closed_stream_is_no_terminal():
    assert type(choose_display(closed(), io.StringIO())) is LogDisplay


def test_a_log_gets_lines_also_from_a_terminal():
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0), os.fdopen(slave, "w") as terminal:
        assert type(choose_display(terminal, io.StringIO(), plain=True)) is LogDisplay


def test_quiet_is_quiet(capsys):
    display = QuietDisplay()
    display.notify(moved(1, 2))
    display.release_stream()
    display.notify(Notice("a", "b"))
    display.close(summary())

    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_the_bar_fitted_to_its_width(clock):
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as reader, os.fdopen(slave, "w") as terminal:
        termios.tcsetwinsize(master, (24, 60))
        display = choose_display(terminal, io.StringIO(), clock=clock)
        display.notify(recorded(success(1), counts=Counts(1, 0, 1), in_flight=1))
        display.close(summary(counts=Counts(1, 0, 1), seconds=1))
        terminal.flush()
        shown = ""
        while "to do" not in shown:
            shown += reader.read(65_536).decode()

    assert type(display) is BarDisplay
    drawn = shown.split("\r")[1]
    assert drawn.startswith("1/2  50% |")
    assert len(drawn) == 59
    assert shown.endswith("1 succeeded, 1 still to do of 2 in 1s\r\n")
