"""The bar on a terminal. The only file that knows tqdm."""

from __future__ import annotations

import threading
from typing import Any, ClassVar, TextIO

from tqdm import tqdm

from batchinfer.ports import Adjusted, Back, Clock, Event, Notice, Recorded, Waiting
from batchinfer.progress import text
from batchinfer.progress.displays import Guarded, closing
from batchinfer.progress.tally import Summary, Tally
from batchinfer.progress.text import KeyOf

_GAP = 2
"""Columns between what is said before the bar and after it."""
_BAR = 5
"""Columns that the bar must have to be drawn."""


class Bar:
    """One line that is drawn again and again; failures (verbose) and notices go above it."""

    EVERY = 0.1
    """Seconds between two drawings, at least."""

    def __init__(
        self, stream: TextIO, *, clock: Clock, verbose: bool = False, key_of: KeyOf | None = None
    ) -> None:
        self._out = Guarded(stream)
        self._clock = clock
        self._verbose = verbose
        self._key_of = key_of
        self._tally = Tally(clock)
        self._bar: _Tqdm | None = None
        self._drawn_at = float("-inf")
        self._wait = ""

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        match event:
            case Recorded():
                news = event.progress.paused != self._tally.progress.paused
                self._tally.note(event)
                if self._verbose:
                    lines = (text.failure(record, self._key_of) for record in event.records)
                    self._above(*(line for line in lines if line))
                self._draw(now=news)
            case Waiting():
                news = not self._wait
                self._wait = text.waiting(event)
                self._draw(now=news)
            case Back():
                self._wait = ""
                self._draw(now=True)
            case Notice():
                self._above(f"note: {text.shortened(event.message)}")
            case Adjusted():
                if self._verbose:
                    self._above(text.adjusted(event))

    def leave(self) -> None:
        """See `Display`."""
        if self._bar is not None:
            self._wait = ""
            self._draw(now=True)
            self._bar.close()
            self._bar = None

    def close(self, summary: Summary) -> None:
        """See `Display`."""
        self.leave()
        self._out.line(closing(summary))

    def _draw(self, *, now: bool = False) -> None:
        at = self._clock()
        if not now and at - self._drawn_at < self.EVERY:
            return
        self._drawn_at = at
        if self._bar is None:
            self._bar = _Tqdm(self._out)
        progress, tally = self._tally.progress, self._tally
        before = text.done(progress)
        self._bar.show(
            done=progress.counts.finished,
            total=progress.counts.total if progress.complete else None,
            before=before,
            after=text.going(
                progress,
                tally.rate(),
                tally.eta(),
                tally.estimate(),
                wait=self._wait,
                columns=max(1, self._out.columns() - len(before) - _GAP),
            ),
        )

    def _above(self, *lines: str) -> None:
        if self._bar is not None and lines:
            self._bar.clear()
        for line in lines:
            self._out.line(line)
        if self._bar is not None and lines:
            self._bar.refresh()


class _Tqdm(tqdm):  # type: ignore[type-arg] # nothing is iterated
    """tqdm as a drawing of ours: our words on both sides of its bar, no thread, no processes."""

    monitor_interval = 0
    _lock: ClassVar[Any] = threading.RLock()

    def __init__(self, stream: Guarded) -> None:
        self._after = ""
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
        return {**super().format_dict, "after": self._after}

    def show(self, *, done: int, total: int | None, before: str, after: str) -> None:
        """Draw. There is no bar without a total (a share of the unknown says nothing), nor where it
        has no room.
        """  # noqa: D205 - one thought
        self.n, self.total = done, total
        self._after = after
        self.ncols = self._stream.columns()  # the window may have been resized
        room = self.ncols - len(before) - len(after) - len(" || ")
        self.bar_format = "{desc} |{bar}| {after}" if total and room >= _BAR else "{desc}  {after}"
        self.set_description_str(before, refresh=False)
        self.refresh()
