"""Failures of outputs that are missing, doubtful, or too large to be read."""

from __future__ import annotations

from typing import Final

from batchinfer.backends.objects import Entry
from batchinfer.backends.pairs import Pair
from batchinfer.domain import Failure, Kind
from batchinfer.oscar.reply import Saved

REPLY_TOO_LARGE: Final = "reply_too_large"


def lost(told: Saved) -> Failure:
    """The log says that there is an output, and there is none."""
    return Failure(
        "output_lost",
        f"The log says the output was saved ({told.path}), but it did not arrive in the bucket. "
        "Look at the log for a model that returns what cannot be written as JSON.",
        Kind.TRANSIENT,
    )


def cut_off(entry: Entry, size: int) -> Failure:
    """An output of which other bytes came than the listing shows."""
    return Failure(
        "output_lost",
        f"The bucket shows {entry.size:,} bytes of the output {entry.key}, and {size:,} came, more "
        "than once. The item is tried again; if it stays so, ask who runs the store.",
        Kind.TRANSIENT,
    )


def uncertain(told: Saved) -> Failure:
    """An orphan that may be another item's."""
    return Failure(
        "output_uncertain",
        f"The log says the output was saved ({told.path}), but another prediction used the same "
        "name (DEEPaaS 2.6.0 names outputs with five random letters). Whose output it is cannot be "
        "told, so it was not taken; the item is tried again. Another DEEPaaS has no such names.",
        Kind.TRANSIENT,
    )


def reply_too_large(pair: Pair, size: int, limit: int) -> Failure:
    """An output or a log of `size` bytes, more than `limit`."""
    return Failure(
        REPLY_TOO_LARGE,
        f"The output {pair.base} in the bucket has {size:,} bytes, more than the {limit:,} that "
        "one reply may have; it was left there. Let the model return less, or raise --max-reply "
        "and try again: batchinfer retry RUN --code reply_too_large",
    )
