"""Whether refusals have one cause for all: a circuit breaker. Pure.

A status such as 403 or 405 may be the fault of one item, or of everything between here and the
model (a firewall, a proxy, a gateway). One refusal does not tell. What tells:

* an answer to an attempt that began later: then they were the fault of their items;
* `IN_A_ROW` refusals of different items without such an answer (`MIN_DENIALS_BEFORE_FIRST_ANSWER`,
  when nobody was ever answered): then no item is at fault, and the service is treated as away.
"""

from __future__ import annotations

from typing import Final

MIN_DENIALS_IN_A_ROW: Final = 5
MIN_DENIALS_BEFORE_FIRST_ANSWER: Final = 3


class DenialStreak:
    """Counts refusals between answers. Times are seconds on the event loop's clock."""

    def __init__(self) -> None:
        self.since: float | None = None
        """When the first refusal of the row began; None: there is no row."""
        self._items: set[int] = set()
        self._has_answered = False

    def on_denial(self, item: int, began: float) -> bool:
        """Another refusal; whether it shows that no item is at fault."""
        self.since = began if self.since is None else min(self.since, began)
        if len(self._items) < MIN_DENIALS_IN_A_ROW:
            self._items.add(item)
        return len(self._items) >= (
            MIN_DENIALS_IN_A_ROW if self._has_answered else MIN_DENIALS_BEFORE_FIRST_ANSWER
        )

    def on_answer(self, began: float) -> bool:
        """An answer to an attempt that began then; whether it ended a row."""
        self._has_answered = True
        if self.since is None or began < self.since:
            return False
        self.since = None
        self._items.clear()
        return True
