"""Values and exceptions can cross to another process: they pickle, and come back equal."""

import dataclasses
import inspect
import pickle
from collections.abc import Iterator

import pytest

from batchinfer import domain, errors, flow, ports
from batchinfer.domain import (
    Attempt,
    Counts,
    Failure,
    FailureKind,
    InputFile,
    Item,
    Mode,
    OpenItem,
    OutputFile,
    Record,
    RemoteFile,
    Reply,
    Result,
    ResultDetails,
    ReusedFrom,
    RunInfo,
    SentFile,
    ServiceSignal,
    State,
    Submitted,
)
from batchinfer.engine import PollInterval, RunPolicy
from batchinfer.flow import memory_budget, retries
from batchinfer.ports import (
    AddResult,
    Committed,
    KnownItem,
    LimitChanged,
    Notice,
    OutageEnded,
    OutageOngoing,
    OutputArrival,
    PollAdvice,
    Progress,
    PutBack,
    RecordsTooLarge,
    SubmittedObject,
)

FILE = InputFile("files", "/data/\udcff.jpg", 3, 1_763_890_000_123_456_789)
SENT = SentFile("files", 3, "0" * 64)
OUTPUT = OutputFile("output/a.png", b"\x89PNG")
ITEM = Item("a", (FILE,), {"x": [1, None, {"y": 2.5}]}, 7, 2, 1)
REPLY = Reply(prediction={"a": [1]}, data=None, log="log", server_seconds=0.5, inputs=(SENT,))
FAILURE = Failure(
    "http_429",
    "busy",
    FailureKind.TRANSIENT,
    3.0,
    "log",
    (SENT,),
    ServiceSignal.OVERLOADED,
)
ATTEMPT = Attempt(3, 1.0, 0.5, FAILURE, {"x": 1})
RECORD = Record(7, ATTEMPT, State.PENDING, 9.0)
OPEN = OpenItem(7, State.SUBMITTED, 3, 1.0, 1, {3: "run-7-3"})
RESULT = Result("a", State.SUCCEEDED, [1], "application/json", None, None, 1, 0.5, "", "", "", {})
PROGRESS = Progress(Counts(1, 2, 3, 4), 5, True, {"timeout": 4}, 8, 2.5, True)

VALUES = [
    FILE,
    RemoteFile("files", "toy://a", 3, None, "v1"),
    SENT,
    ITEM,
    REPLY,
    Reply("image/png", data=b"\x89PNG"),
    OUTPUT,
    Reply("application/zip", files=(OUTPUT,)),
    FAILURE,
    Failure("model_killed", "killed", FailureKind.TRANSIENT, model_killed=True),
    Submitted("run-7-3", (SENT,)),
    ATTEMPT,
    RECORD,
    OPEN,
    Counts(1, 2, 3, 4),
    RunInfo("abc", 1.0, Mode.ASYNC, {"run": {"mode": "async"}}, ("/data", "-")),
    RESULT,
    ResultDetails(7, RESULT, (FILE,), 3, "log", 0.5, {"files": "0" * 64}, 1, 2),
    OutputArrival(OPEN, 3, REPLY, 100),
    SubmittedObject(7, 3, "run-7-3"),
    AddResult(1, ("a",), ("b",), (7,)),
    ReusedFrom("may", "abc", "a", 0.5),
    KnownItem(7, State.FAILED, 3, (FILE,), "timeout"),
    PutBack(1, {"timeout": 2}),
    PROGRESS,
    Committed((RECORD,), PROGRESS),
    OutageOngoing("http_503", "away", 1.0, 2.0),
    OutageEnded("http_503", 2.0),
    Notice("moved", "somewhere else"),
    LimitChanged(1.0, 8, 16, "short queue"),
    retries.RetryPolicy(3),
    retries.Finish(State.FAILED),
    retries.Retry(1.0),
    retries.WaitForService(1.0),
    flow.AttemptSample(ServiceSignal.TIMEOUT, 1.0, 2.0, 3, 4),
    flow.LimitAdjustment(1.0, 8, 16, "short queue"),
    RunPolicy(retry=retries.RetryPolicy(3)),
    PollInterval(),
    PollAdvice(1.0, 2.0),
]


def classes(*modules) -> Iterator[type]:
    for module in modules:
        for _, one in inspect.getmembers(module, inspect.isclass):
            if one.__module__ == module.__name__:
                yield one


def copies(value: object) -> list[object]:
    protocols = range(2, pickle.HIGHEST_PROTOCOL + 1)
    return [pickle.loads(pickle.dumps(value, protocol)) for protocol in protocols]


def test_each_kind_of_value_is_among_those_tried():
    values = {one for one in classes(domain, ports, retries) if dataclasses.is_dataclass(one)}
    assert values <= {type(value) for value in VALUES}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_equal(value: object):
    for copy in copies(value):
        assert copy == value
        assert repr(copy) == repr(value)


def test_a_reply_leaves_its_part_of_this_process_memory_here():
    budget = memory_budget.MemoryBudget(100)
    reply = Reply(prediction=1, lease=memory_budget.Lease(budget, 10, lambda end: end()))
    for copy in copies(reply):
        assert copy == reply
        assert copy.lease is None
    assert budget.leased_bytes == 10


def examples(kind: type[Exception]) -> Exception:
    """An exception of this kind, made from what its signature asks for."""
    values = {"code": "a_code", "message": "what to do", "positions": {2, 1}}
    names = inspect.signature(kind.__init__).parameters
    return kind(*[values[name] for name in names if name in values] or ["what to do"])


EXCEPTIONS = [one for one in classes(errors, ports) if issubclass(one, Exception)]


def test_the_exceptions_are_found():
    assert {errors.RunAborted, errors.ConfigError, RecordsTooLarge} <= set(EXCEPTIONS)


@pytest.mark.parametrize("kind", EXCEPTIONS)
def test_an_exception_comes_back_with_its_message_and_its_attributes(kind: type[Exception]):
    error = examples(kind)
    error.add_note("seen on another machine")
    for copy in copies(error):
        assert type(copy) is kind
        assert (str(copy), copy.args) == (str(error), error.args)
        assert vars(copy) == vars(error)
