"""Why a transcript holds no result (docs/platform.md, "The body of a 200"). Pure.

Looked for in this order; the first that is there is the reason:

=================  ==========  ====================================================================
code               kind        what the service wrote
=================  ==========  ====================================================================
`model_error`      permanent   a CRITICAL record `Unhandled error: <Type>: <message>`. A model
                               fails on the same item in the same way
                   (and only where the model was never called:)
`deepaas_too_old`  permanent   `Error: DEEPaaS version must be ...`, or there is no DEEPaaS
`bad_payload`      permanent   a traceback of the service script (`File "<stdin>"`), or its
                               `Something went wrong`
`bad_param`        permanent   a line `deepaas-cli ...: error: ...` of argparse; or a traceback of
                               the reading of a list or dict
`help`             permanent   the model's help: `help` was among the parameters
`model_error`      permanent   any other traceback, `[ERROR]:`: the module cannot be loaded
                   (else:)
`model_error`      permanent   `--- Logging error ---` of a `return:`: it cannot be printed
`answer_cut_off`   transient   lines of the platform, but not to the end
`model_killed`     transient   lines of the platform, and nothing else: killed, mostly for memory
`unreadable`       transient   no line of the platform: something else answered
=================  ==========  ====================================================================

The message of a model error begins with the first cause: modules that wrap their errors in an
HTTPException hide it in the first of several tracebacks.
"""

from __future__ import annotations

import re
from collections import deque
from itertools import islice
from typing import Final

from batchinfer.domain import Failure, FailureKind, ServiceSignal
from batchinfer.errors import FatalError
from batchinfer.protocols.ai4os.transcript import RECORD_STAMP, is_unmarked, iter_records

DEEPAAS_TOO_OLD_CODE: Final = "deepaas_too_old"
ANSWER_CUT_OFF_CODE: Final = "answer_cut_off"
_MAX_FAILURE_MESSAGE_CHARS: Final = 1000
"""Characters of a message that are kept; the log has them all."""

_CRITICAL_RECORD: Final = re.compile(
    rf"{RECORD_STAMP}CRITICAL deepaas-cli \[[^\]\n]*\] Unhandled error(?:: (?P<summary>[^\n]*))?"
)
_ERROR_LINE: Final = re.compile(rf"^{RECORD_STAMP}ERROR deepaas-cli ?(?P<line>.*)$", re.MULTILINE)
_TRACEBACK_START: Final = re.compile(r"^Traceback \(most recent call last\):\n", re.MULTILINE)
_EXCEPTION_LINE: Final = re.compile(r"^\S.*", re.MULTILINE)
_EXCEPTION_LINES: Final = re.compile(r"^\S.*(?:\n(?!\n).+)*", re.MULTILINE)
_PREDICT_CALLED_OR_FINISHED: Final = re.compile(
    rf"{RECORD_STAMP}INFO deepaas\.cmd\.cli \[[^\]\n]*\] (?:\[INFO, Method\] )?predict was"
)
_ARGPARSE_ERROR: Final = re.compile(r"^deepaas-cli[^\n:]*: error: (?P<error>.*)$", re.MULTILINE)
_LITERAL_EVAL_FRAME: Final = re.compile(r"^  File .*, in literal_eval$", re.MULTILINE)
_UNPRINTABLE_RETURN: Final = re.compile(r"^Message: ['\"]return:", re.MULTILINE)
_LOGGING_ERROR: Final = "--- Logging error ---\n"
_PREDICT_USAGE: Final = re.compile(r"^usage: deepaas-cli predict ", re.MULTILINE)
_HELP_OPTION_LINE: Final = re.compile(r"^ *-h, --help\b", re.MULTILINE)
_TOO_OLD_LINE: Final = re.compile(
    r"^Error: DEEPaaS version must be >=(?P<needed>\S+)\. Current version is: (?P<current>.*)$",
    re.MULTILINE,
)
_DEEPAAS_NOT_FOUND: Final = re.compile(
    r"No such file or directory: 'deepaas-cli'|, in compare_versions$", re.MULTILINE
)
_LOAD_ERROR_LINE: Final = re.compile(r"^\[ERROR\]: .*$", re.MULTILINE)
_MAX_TRACEBACKS: Final = 100
_SCRIPT_FAILED_TEXT: Final = "Something went wrong during the execution."
_UNPRINTED_RESULT_REMARK: Final = (
    ". Or it returned None or a whole number, which this version of DEEPaaS does not show in sync "
    "mode: then use async mode"
)
_PLATFORM_LINE: Final = re.compile(
    rf"^\[\*\] |^event-file-|^Output will be saved on:|^usage: deepaas-cli|{RECORD_STAMP}",
    re.MULTILINE,
)

_PARAM_ERROR_HINTS: Final = (
    ("unrecognized arguments", "the model has no such parameter: its help lists those it has"),
    (
        "ambiguous option",
        "DEEPaaS takes the name for one of its own options: leave the parameter out",
    ),
    ("SyntaxError", "lists and dicts are sent as strings that hold Python literals"),
    ("are required", "give it in [params], with --param, or in the manifest"),
    ("expected one argument", "the value looks like an option: it must not start with '-'"),
    ("", "the model's help tells the types of its parameters"),
)


def find_model_error(text: str, log: str) -> Failure | None:
    """The exception that ended the prediction; None when none did. `text` without colours."""
    last_records = deque(iter_records(_CRITICAL_RECORD, text), 1)
    if not last_records:
        return None
    critical = last_records[0]
    lines = (found["line"] for found in _ERROR_LINE.finditer(text, critical.end()))
    causes = _list_exceptions("\n".join(lines), _EXCEPTION_LINES) or [
        critical["summary"] or "an error without a name"
    ]
    first, last = causes[0], causes[-1]
    message = first if last == first else f"{first} (the module reported it as {last})"
    return _permanent_failure("model_error", message, log)


def classify_failure(text: str, log: str, *, is_complete: bool = True) -> Failure:
    """Why there is no result in `text`, which is without colours and the echo of the command.

    `is_complete`: whether the service's answer is known to be complete.
    """
    if (failure := find_model_error(text, log)) is not None:
        return failure
    if not is_complete and is_help_output(text):
        return cut_off_failure(log)
    if (
        _PREDICT_CALLED_OR_FINISHED.search(text) is None
        and (failure := _find_startup_failure(text, log)) is not None
    ):
        return failure
    if (failure := _find_unprintable_result(text, log)) is not None:
        return failure
    if _PLATFORM_LINE.search(text) is None:
        return Failure(
            "unreadable",
            "the answer is none of the platform's service script: "
            + (f"it begins with {text.strip()[:80]!r}" if text.strip() else "it is empty")
            + "; check that the endpoint is that of an AI4OS service",
            FailureKind.TRANSIENT,
            log=log,
        )
    return (
        model_killed_failure(log, _UNPRINTED_RESULT_REMARK if is_unmarked(text) else "")
        if is_complete
        else cut_off_failure(log)
    )


def cut_off_failure(log: str) -> Failure:
    """The answer ends in the middle: what is there of it is not what the model returned."""
    return Failure(
        ANSWER_CUT_OFF_CODE,
        "the answer was cut off before its end, by a connection or a proxy, or because it was "
        "still being written: what is there of it is not the prediction. Another attempt may bring "
        "all of it; if it happens again and again, use async mode",
        FailureKind.TRANSIENT,
        log=log,
    )


def find_fatal_error(decoded: object) -> FatalError | None:
    """The error that ends the run, where what was read says that no item can succeed."""
    if isinstance(decoded, Failure) and decoded.code == DEEPAAS_TOO_OLD_CODE:
        return FatalError(decoded.code, decoded.message)
    return None


def model_killed_failure(log: str, remark: str = "") -> Failure:
    """Neither a result nor an error line: the model was killed."""
    return Failure(
        "model_killed",
        "the model ended without a result and without an error: most likely it was killed because "
        "it needed more memory than the service has. If that happens again, give the service more "
        "memory or the model smaller input" + remark,
        FailureKind.TRANSIENT,
        log=log,
        signal=ServiceSignal.ANSWERED,
        model_killed=True,
    )


def is_help_output(text: str) -> bool:
    """Whether the service answered with the model's help (`{"help": ""}`, docs/platform.md)."""
    usage = _PREDICT_USAGE.search(text)
    return (
        usage is not None
        and bool(_HELP_OPTION_LINE.search(text, usage.end()))
        and not _PREDICT_CALLED_OR_FINISHED.search(text)
    )


def _find_startup_failure(text: str, log: str) -> Failure | None:
    """What kept the model from being called."""
    for find_failure in (
        _find_deepaas_too_old,
        _find_script_failure,
        _find_refused_param,
        _find_help_output,
        _find_load_failure,
    ):
        if (failure := find_failure(text, log)) is not None:
            return failure
    return None


def _find_deepaas_too_old(text: str, log: str) -> Failure | None:
    if old := _TOO_OLD_LINE.search(text):
        what = f"DEEPaaS {old['current']}, and the platform needs {old['needed']}"
    elif _DEEPAAS_NOT_FOUND.search(text):
        what = "no DEEPaaS that the platform can use"
    else:
        return None
    todo = "deploy a newer image of the model, or ask its maintainers for one"
    return _permanent_failure(DEEPAAS_TOO_OLD_CODE, f"the model's image has {what}: {todo}", log)


def _find_script_failure(text: str, log: str) -> Failure | None:
    if 'File "<stdin>"' in text:
        what = ["its script failed", *_list_exceptions(text, _EXCEPTION_LINE)][-1]
    elif _SCRIPT_FAILED_TEXT in text:
        what = "its command line could not be run (is a value too long?)"
    else:
        return None
    return _permanent_failure(
        "bad_payload", f"the service could not use what it was sent: {what}", log
    )


def _find_refused_param(text: str, log: str) -> Failure | None:
    if found := _ARGPARSE_ERROR.search(text):
        error = found["error"]
    elif _LITERAL_EVAL_FRAME.search(text):
        error = ["a list or dict is no Python literal", *_list_exceptions(text, _EXCEPTION_LINE)][
            -1
        ]
    else:
        return None
    hint = next(hint for words, hint in _PARAM_ERROR_HINTS if words in error)
    return _permanent_failure(
        "bad_param", f"the service refused a parameter: {error} ({hint})", log
    )


def _find_unprintable_result(text: str, log: str) -> Failure | None:
    """A value that DEEPaaS could not write into its log: text that no UTF-8 can hold."""
    _, mark, logging_error = text.partition(_LOGGING_ERROR)
    if not mark or _UNPRINTABLE_RETURN.search(logging_error) is None:
        return None
    reason = ["it cannot be printed", *_list_exceptions(logging_error, _EXCEPTION_LINE)][-1]
    message = (
        f"DEEPaaS could not write the result into its answer: {reason}. Async mode may bring it"
    )
    return _permanent_failure("model_error", message, log)


def _find_help_output(text: str, log: str) -> Failure | None:
    if not is_help_output(text):
        return None
    message = (
        "the service answered with the model's help instead of a prediction: leave the parameter "
        "'help' out"
    )
    return _permanent_failure("help", message, log)


def _find_load_failure(text: str, log: str) -> Failure | None:
    found = _LOAD_ERROR_LINE.search(text)
    causes = [found[0]] if found else _list_exceptions(text, _EXCEPTION_LINE)
    if not causes:
        return None
    return _permanent_failure("model_error", f"the model cannot be loaded: {causes[0]}", log)


def _list_exceptions(text: str, exception: re.Pattern[str]) -> list[str]:
    """`<Type>: <message>` of each traceback in `text`, first cause first.

    Everything of a frame is indented; the first line that is not names the exception.
    """
    matches = (exception.search(text, trace.end()) for trace in _TRACEBACK_START.finditer(text))
    return [_shorten(match[0]) for match in islice(matches, _MAX_TRACEBACKS) if match is not None]


def _permanent_failure(code: str, message: str, log: str) -> Failure:
    return Failure(code, _shorten(message), FailureKind.PERMANENT, log=log)


def _shorten(message: str) -> str:
    """One line, not too long."""
    line = " ".join(message[: 4 * _MAX_FAILURE_MESSAGE_CHARS].split())
    return (
        line
        if len(line) <= _MAX_FAILURE_MESSAGE_CHARS
        else line[: _MAX_FAILURE_MESSAGE_CHARS - 3] + "..."
    )
