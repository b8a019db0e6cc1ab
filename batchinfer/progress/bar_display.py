"""The bar on a terminal. The only file that knows tqdm."""

from __future__ import annotations

import threading
from typing import Any, ClassVar, TextIO

from tqdm import tqdm

from batchinfer.ports import (
    Clock,
    Committed,
    Event,
    LimitChanged,
    Notice,
    OutageEnded,
    OutageOngoing,
)
from batchinfer.progress import progress_format
from batchinfer.progress.displays import SafeStream, format_summary
from batchinfer.progress.progress_state import ProgressState, Summary

_GAP_COLUMNS = 2
"""Columns between what is said before the bar and after it."""
_MIN_BAR_COLUMNS = 5
"""Columns that the bar must have to be drawn."""


class BarDisplay:
    """One line that is drawn again and again; failures (verbose) and notices go above it."""

    REDRAW_INTERVAL = 0.1
    """Seconds between two drawings, at least."""

    def __init__(
        self,
        stream: TextIO,
        *,
        clock: Clock,
        verbose: bool = False,
    ) -> None:
        self._out = SafeStream(stream)
        self._clock = clock
        self._verbose = verbose
        self._state = ProgressState(clock)
        self._bar: _TqdmBar | None = None
        self._drawn_at = float("-inf")
        self._wait_text = ""

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        match event:
            case Committed():
                is_urgent = event.progress.paused != self._state.progress.paused
                self._state.update(event)
                if self._verbose:
                    lines = (progress_format.format_failure(record) for record in event.records)
                    self._print_above(*(line for line in lines if line))
                self._draw(force=is_urgent)
            case OutageOngoing():
                is_urgent = not self._wait_text
                self._wait_text = progress_format.format_outage(event)
                self._draw(force=is_urgent)
            case OutageEnded():
                self._wait_text = ""
                self._draw(force=True)
            case Notice():
                self._print_above(f"note: {progress_format.clip_message(event.message)}")
            case LimitChanged():
                if self._verbose:
                    self._print_above(progress_format.format_limit_change(event))

    def release_stream(self) -> None:
        """See `Display`."""
        if self._bar is not None:
            self._wait_text = ""
            self._draw(force=True)
            self._bar.close()
            self._bar = None

    def close(self, summary: Summary) -> None:
        """See `Display`."""
        self.release_stream()
        self._out.write_line(format_summary(summary))

    def _draw(self, *, force: bool = False) -> None:
        current_time = self._clock()
        if not force and current_time - self._drawn_at < self.REDRAW_INTERVAL:
            return
        self._drawn_at = current_time
        if self._bar is None:
            self._bar = _TqdmBar(self._out)
        progress, state = self._state.progress, self._state
        prefix = progress_format.format_done(progress)
        self._bar.draw(
            done=progress.counts.finished,
            total=progress.counts.total if progress.is_source_complete else None,
            prefix=prefix,
            suffix=progress_format.format_progress(
                progress,
                state.compute_rate(),
                state.compute_eta(),
                state.estimate_remaining_time(),
                wait_text=self._wait_text,
                columns=max(1, self._out.get_columns() - len(prefix) - _GAP_COLUMNS),
            ),
        )

    def _print_above(self, *lines: str) -> None:
        if self._bar is not None and lines:
            self._bar.clear()
        for line in lines:
            self._out.write_line(line)
        if self._bar is not None and lines:
            self._bar.refresh()


class _TqdmBar(tqdm):  # type: ignore[type-arg] # nothing is iterated
    """tqdm as a drawing of ours: our words on both sides of its bar, no thread, no processes."""

    monitor_interval = 0
    _lock: ClassVar[Any] = threading.RLock()

    def __init__(self, stream: SafeStream) -> None:
        self._suffix = ""
        self._stream = stream
        super().__init__(
            total=1,
            file=stream,
            disable=False,
            leave=True,
            delay=1e-9,  # draw nothing before `show` ...
        )
        self.delay = 0  # ... but let `close` leave the last drawing

    @property
    def format_dict(self) -> dict[str, Any]:
        return {**super().format_dict, "after": self._suffix}

    def draw(self, *, done: int, total: int | None, prefix: str, suffix: str) -> None:
        """Draw. There is no bar without a total (a share of the unknown says nothing), nor where it
        has no room.
        """  # noqa: D205 - one thought
        self.n, self.total = done, total
        self._suffix = suffix
        self.ncols = self._stream.get_columns()  # the window may have been resized
        free_columns = self.ncols - len(prefix) - len(suffix) - len(" || ")
        self.bar_format = (
            "{desc} |{bar}| {after}"
            if total and free_columns >= _MIN_BAR_COLUMNS
            else "{desc}  {after}"
        )
        self.set_description_str(prefix, refresh=False)
        self.refresh()
