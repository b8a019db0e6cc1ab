"""What the engine itself finds wrong with an item or a run: codes and messages.

Everything else that goes wrong is found, and classified, where an answer or a file is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from batchinfer.domain import Failure, FailureKind, SentFile, ServiceSignal
from batchinfer.errors import FatalError, RunAborted, option
from batchinfer.ports import Notice, Progress

SOURCE_UNAVAILABLE: Final = "source_unavailable"
BUCKET_UNREACHABLE: Final = "bucket_unreachable"


def make_abandoned_failure(seconds: float, factor: float) -> Failure:
    """An attempt that took `factor` times as long as nearly all others, near the end of the run."""
    return Failure(
        "timeout",
        f"no answer within {seconds:.0f} s, {factor:g} times what nearly all others took: given up "
        "early because it is one of the last, and tried again; --no-hedge waits for the whole "
        "--timeout",
        FailureKind.TRANSIENT,
        signal=ServiceSignal.TIMEOUT,
    )


def make_no_output_failure(seconds: float) -> Failure:
    """A submitted item without output, and without a sign for `seconds` that there will be one."""
    return Failure(
        "no_output",
        f"No output appeared in the bucket, and for {seconds:.0f} s no sign that it still will: "
        "the event was lost, or the job never ran. If it happens often, ask the platform's support "
        "whether jobs of this service start.",
        FailureKind.TRANSIENT,
        signal=ServiceSignal.ANSWERED,
    )


def make_too_large_failure(inputs: tuple[SentFile, ...]) -> Failure:
    """A reply, or a log, that no store can hold."""
    return Failure(
        "reply_too_large",
        "The reply, or its log, is larger than a run directory can hold. Let the model return less "
        "(a file instead of text, fewer or smaller objects), then `batchinfer retry`.",
        inputs=inputs,
    )


def make_outage_error(failure: Failure, seconds: float) -> FatalError:
    """The service has failed in this way for too long."""
    is_away = failure.kind is FailureKind.UNAVAILABLE
    what = "The service has been away" if is_away else "No call succeeded"
    return FatalError(
        failure.code,
        f"{what} for {seconds:.0f} s: {failure.message.rstrip('.')}. Everything recorded is kept; "
        f"continue when {'it is back' if is_away else 'that is fixed'}.",
    )


def make_no_answer_error(seconds: float) -> FatalError:
    """The service takes calls, and has never answered one."""
    return FatalError(
        "no_answer",
        f"The service accepts calls, and has answered none within {seconds:.0f} s "
        f"({option('cold_start')}). Nothing was recorded for it. Look at it on the Dashboard; if "
        f"its first prediction takes longer than that, raise {option('cold_start')}",
    )


def make_service_refused_notice(name: str, error: FatalError, others: Sequence[str]) -> Notice:
    """One of several services refuses everything."""
    return Notice(
        "service_refused",
        f"{name} cannot be used ({error.code}): {error.message.rstrip('.')}. The run goes on with "
        f"{' and '.join(others)}.",
    )


def make_service_away_notice(name: str, message: str, others: Sequence[str]) -> Notice:
    """One of several services is away."""
    return Notice(
        "service_away",
        f"{name} is away ({message.rstrip('.')}): its items go to {' and '.join(others)} until it "
        "is back.",
    )


def make_service_back_notice(name: str, seconds: float) -> Notice:
    """It answers again."""
    return Notice("service_back", f"{name} answers again, after {seconds:.0f} s.")


def make_source_error(reason: str) -> FatalError:
    """The source has been away for too long."""
    return FatalError(
        SOURCE_UNAVAILABLE,
        f"{reason}. No item was failed for it: bring it back, then continue; if it has moved for "
        f"good, name its new place with {option('source')}",
    )


def make_shortage_error(failure: Failure, seconds: float) -> FatalError:
    """This machine has been short of something for too long."""
    return FatalError(
        failure.code,
        f"Nothing could be sent for {seconds:.0f} s: {failure.message}. No item was failed for it; "
        "continue when that is fixed",
    )


def make_too_many_failures_error(failed: int, progress: Progress) -> RunAborted:
    """More items have failed in this process than `max_failures` allows."""
    codes = ", ".join(f"{code}: {count}" for code, count in progress.failed_by_code.items())
    items = "1 item has" if failed == 1 else f"{failed} items have"
    return RunAborted(
        "too_many_failures",
        f"{items} failed, more than {option('max_failures')} allows ({codes}). Look at one, remove "
        "the cause, then continue.",
    )


def make_files_changed_notice(count: int, example: str) -> Notice:
    """Files that are no longer those that were sent."""
    return Notice(
        "file_changed",
        f"{count} file(s) changed since they were sent (for example {example}). What is recorded "
        "was made from the earlier content and is kept; for the new content, start a new run.",
    )


def make_held_back_notice(count: int, message: str) -> Notice:
    """Items that were denied in a run that watches, while nothing else is to do."""
    items = "1 item was" if count == 1 else f"{count} items were"
    return Notice(
        "held_back",
        f"{items} refused ({message.rstrip('.')}), and nothing else is to do: whether that holds "
        "for all will be known when the next item is answered. Until then it stays pending.",
    )


def make_params_changed_notice(count: int, example: str) -> Notice:
    """Items whose parameters are no longer those that were sent."""
    return Notice(
        "params_changed",
        f"{count} item(s) have other parameters now than they were sent with (for example "
        f"{example}). What is recorded was made with the earlier ones and is kept; for the new "
        "ones, start a new run.",
    )
