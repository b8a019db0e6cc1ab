"""Calls of a protocol, whose exceptions fail one item and never end a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, ParamSpec, TypeVar

from batchinfer.domain import Failure, FailureKind, Outcome, Reply
from batchinfer.errors import FatalError
from batchinfer.machine_limits import detect_shortage
from batchinfer.protocols.http_text import MAX_ERROR_BODY_BYTES

PROTOCOL_ERROR: Final = "protocol_error"

P = ParamSpec("P")
T = TypeVar("T")


def call_protocol(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Failure:
    """What a method of a protocol returns, or a failure with the code `protocol_error`.

    Raises FatalError as the method does, and what shows that this machine is short of something.
    """
    try:
        return function(*args, **kwargs)
    except FatalError:
        raise
    except Exception as error:  # a plugin may raise anything
        if detect_shortage(error) is not None:
            raise
        return _make_exception_failure(error)


def call_decoder(
    function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T | Failure | FatalError:
    """The same; a FatalError is returned, also where the method raises it."""
    try:
        return function(*args, **kwargs)
    except FatalError as error:
        return error
    except Exception as error:
        if detect_shortage(error) is not None:
            raise
        return _make_exception_failure(error)


def check_outcome(outcome: object, answer: bytes) -> Outcome | FatalError:
    """The outcome that a protocol has decoded from `answer`, if it is one."""
    if isinstance(outcome, Reply):
        return outcome
    match outcome:
        case Failure(code=code, log="") if code == PROTOCOL_ERROR:
            return replace(outcome, log=answer[:MAX_ERROR_BODY_BYTES].decode("utf-8", "replace"))
        case Failure() | FatalError():
            return outcome
        case _:
            return _make_failure(f"it returned a {type(outcome).__name__} instead of an outcome")


def _make_exception_failure(error: Exception) -> Failure:
    return _make_failure(f"it raised {type(error).__name__}: {error}")


def _make_failure(what: str) -> Failure:
    return Failure(
        PROTOCOL_ERROR,
        f"The protocol of this service failed on this item: {what}. That is a mistake in the "
        "protocol's code: tell whoever maintains it.",
        FailureKind.PERMANENT,
    )
