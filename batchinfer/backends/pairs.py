"""The outputs of attempts, as listings show them, and whether an attempt of this run made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from batchinfer.backends.objects import Bucket, Entry
from batchinfer.domain import Open
from batchinfer.oscar.names import INPUTS, ObjectName, Output, parse_output


@dataclass(frozen=True, slots=True)
class Pair:
    """The outputs of one attempt, as far as a listing has shown them."""

    base: str
    """Their name without folder and extension; what the pair is known by from look to look."""
    name: ObjectName
    log: Entry | None
    json: Entry | None

    @property
    def entries(self) -> list[Entry]:
        """What is there of it."""
        return [entry for entry in (self.json, self.log) if entry is not None]

    @property
    def objects(self) -> list[str]:
        """The keys of the attempt's input and outputs."""
        return [f"{INPUTS}{self.base}.json", *(entry.key for entry in self.entries)]


def pairs_of(run_id: str, entries: Sequence[Entry]) -> list[Pair]:
    """The pairs among listed objects; key order keeps those of one attempt together."""
    outputs = [(out, entry) for entry in entries if (out := parse_output(run_id, entry.key))]
    return [_pair(list(group)) for _, group in groupby(outputs, key=lambda each: each[0].base)]


def is_recorded(pair: Pair, item: Open) -> bool:
    """Whether this run directory has recorded that it submitted what the pair answers.

    Another copy of the directory may use the same position and attempt for something else.
    """
    return item.has_submitted(pair.name.attempt, pair.base, tagged=bool(pair.name.tag))


async def without_stale(bucket: Bucket, pair: Pair) -> Pair | None:
    """The pair without outputs that are older than their input; None when nothing is left.

    Only for names without a tag, which another process may have used before. Raises as the bucket
    does.
    """
    if pair.name.tag:
        return pair
    (key, *_) = pair.objects
    found = await bucket.page(key)
    put = next((entry.modified for entry in found.entries if entry.key == key), None)
    if put is None:
        return pair
    log, json = (_not_before(entry, put) for entry in (pair.log, pair.json))
    return Pair(pair.base, pair.name, log, json) if log or json else None


def _not_before(entry: Entry | None, put: float) -> Entry | None:
    # Stores tell whole seconds, some of them only in listings.
    is_older = entry is not None and entry.modified is not None and int(entry.modified) < int(put)
    return None if is_older else entry


def _pair(group: Sequence[tuple[Output, Entry]]) -> Pair:
    first, _ = group[0]
    by_extension = {output.extension: entry for output, entry in group}
    return Pair(first.base, first.name, by_extension.get("log"), by_extension.get("json"))
