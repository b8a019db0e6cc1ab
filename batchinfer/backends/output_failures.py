"""Failures of outputs that are cut off, or too large to be read."""

from __future__ import annotations

from typing import Final

from batchinfer.backends.bucket_client import ListedObject
from batchinfer.backends.output_pairs import OutputPair
from batchinfer.domain import Failure, FailureKind

REPLY_TOO_LARGE: Final = "reply_too_large"


def truncated_output_failure(listed: ListedObject, size: int) -> Failure:
    """An output of which other bytes came than the listing shows."""
    return Failure(
        "output_lost",
        f"The bucket shows {listed.size:,} bytes of the output {listed.key}, and {size:,} came, "
        "more than once. The item is tried again; if it stays so, ask who runs the store.",
        FailureKind.TRANSIENT,
    )


def oversized_output_failure(pair: OutputPair, size: int, max_bytes: int) -> Failure:
    """An output or a log of `size` bytes, more than `max_bytes`."""
    return Failure(
        REPLY_TOO_LARGE,
        f"The output {pair.base_name} in the bucket has {size:,} bytes, more than the "
        f"{max_bytes:,} that one reply may have; it was left there. Let the model return less, or "
        "raise --max-reply and try again: batchinfer retry RUN --code reply_too_large",
    )
