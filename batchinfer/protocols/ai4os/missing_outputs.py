"""Failures of predictions whose output is not in the bucket, or cannot be told from another's."""

from __future__ import annotations

from batchinfer.domain import Failure, FailureKind


def lost_output_failure(path: str) -> Failure:
    """The log says that there is an output, written to `path`, and there is none."""
    return Failure(
        "output_lost",
        f"The log says the output was saved ({path}), but it did not arrive in the bucket. Look at "
        "the log for a model that returns what cannot be written as JSON.",
        FailureKind.TRANSIENT,
    )


def uncertain_output_failure(path: str) -> Failure:
    """The output that the log says was written to `path` may be another item's."""
    return Failure(
        "output_uncertain",
        f"The log says the output was saved ({path}), but another prediction used the same name "
        "(DEEPaaS 2.6.0 names outputs with five random letters). Whose output it is cannot be "
        "told, so it was not taken; the item is tried again. Another DEEPaaS has no such names.",
        FailureKind.TRANSIENT,
    )
