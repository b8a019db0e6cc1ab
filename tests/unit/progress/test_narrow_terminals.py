"""The bar on narrow terminals: what failed is seen down to where nothing else is."""

import contextlib
import os
import struct
import sys

import pytest

from batchinfer.domain import Counts
from batchinfer.ports import Committed, OutageOngoing, Progress
from batchinfer.progress.bar_display import BarDisplay
from batchinfer.progress.progress_format import format_progress

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")

COUNTS = Counts(pending=8_000, submitted=0, succeeded=1_700, failed=300)
PROGRESS = Progress(
    COUNTS,
    64,
    is_source_complete=True,
    failed_by_code={"model_error": 290, "timeout": 10},
    limit=70,
    estimated_servers=31.5,
)


def drawn(columns: int, wait: OutageOngoing | None = None, counts: Counts = COUNTS) -> list[str]:
    """What a bar draws on a terminal of so many columns."""
    import fcntl  # noqa: PLC0415 - Unix only
    import termios  # noqa: PLC0415 - Unix only

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    now = 1000.0
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        bar = BarDisplay(stream, clock=lambda: now)
        for finished in (1_000, counts.finished):
            progress = Progress(
                Counts(counts.total - finished, 0, finished - counts.failed, counts.failed),
                64,
                is_source_complete=True,
                failed_by_code=PROGRESS.failed_by_code if counts.failed else {},
                limit=70,
                estimated_servers=31.5,
            )
            bar.notify(Committed((), progress))
            now += 30.0
        if wait is not None:
            bar.notify(wait)
        bar.release_stream()
        stream.flush()
        said = b""
        with contextlib.suppress(OSError):
            while len(said) < 65_536:
                os.set_blocking(ours, False)
                said += os.read(ours, 65_536)
    os.close(ours)
    return [each.rstrip() for each in said.decode().replace("\n", "\r").split("\r") if each.strip()]


@pytest.mark.parametrize("columns", range(20, 140, 3))
def test_failures_are_seen_however_narrow_it_is(columns):
    last = drawn(columns)[-1]

    assert len(last) < columns
    if columns >= 36:
        assert "300 failed" in last
    if columns >= 60:
        assert "left" in last or "ETA" in last
        assert "20%" in last


def test_a_wide_one_has_everything():
    last = drawn(160)[-1]

    assert "300 failed: model_error 290, timeout 10" in last
    assert "64/70 in flight" in last
    assert "~32 serving" in last


@pytest.mark.parametrize("columns", [60, 70, 80, 100])
def test_what_is_waited_for_hides_no_failures(columns):
    last = drawn(columns, OutageOngoing("http_503", "busy", 5.0, 14_400.0))[-2]

    assert "300 failed" in last


def test_parts_go_in_order_of_worth():
    shown = [format_progress(PROGRESS, 4.2, 1900.0, columns=room) for room in range(90, 0, -1)]
    kept = [("serving", "~32 serving"), ("codes", "model_error"), ("flight", "in flight")]
    kept += [("rate", "4.2/s"), ("left", "ETA"), ("failed", "300 failed")]

    widest = [max(at for at, text in enumerate(shown) if part in text) for _, part in kept]

    assert widest == sorted(widest)
    assert all("300 failed" in text for text in shown)
