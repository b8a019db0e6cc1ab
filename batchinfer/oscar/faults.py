"""Why a transcript holds no result (contract section 1, "The 200 body"; section 2). Pure.

Looked for in this order; the first that is there is the reason:

=================  ==========  ====================================================================
code               kind        what the service wrote
=================  ==========  ====================================================================
`model_error`      permanent   a CRITICAL record `Unhandled error: <Type>: <message>`. A model fails
                               on the same item in the same way
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
`unreadable`       transient   no line of the platform: somebody else answered
=================  ==========  ====================================================================

The message of a model error begins with the first cause: modules that wrap their errors in an
HTTPException hide it in the first of several tracebacks.
"""

from __future__ import annotations

import re
from collections import deque
from itertools import islice
from typing import Final

from batchinfer.domain import Failure, Kind, Outcome
from batchinfer.errors import FatalError
from batchinfer.oscar.transcript import STAMP, is_bare, records

TOO_OLD: Final = "deepaas_too_old"
CUT_OFF: Final = "answer_cut_off"
_LONGEST: Final = 1000
"""Characters of a message that are kept; the log has them all."""

_CRITICAL: Final = re.compile(
    rf"{STAMP}CRITICAL deepaas-cli \[[^\]\n]*\] Unhandled error(?:: (?P<summary>[^\n]*))?"
)
_ERROR_LINE: Final = re.compile(rf"^{STAMP}ERROR deepaas-cli ?(?P<line>.*)$", re.MULTILINE)
_TRACEBACK: Final = re.compile(r"^Traceback \(most recent call last\):\n", re.MULTILINE)
_EXCEPTION: Final = re.compile(r"^\S.*", re.MULTILINE)
_WHOLE_EXCEPTION: Final = re.compile(r"^\S.*(?:\n(?!\n).+)*", re.MULTILINE)
_CALLED: Final = re.compile(
    rf"{STAMP}INFO deepaas\.cmd\.cli \[[^\]\n]*\] (?:\[INFO, Method\] )?predict was"
)
_ARGPARSE: Final = re.compile(r"^deepaas-cli[^\n:]*: error: (?P<error>.*)$", re.MULTILINE)
_LITERAL: Final = re.compile(r"^  File .*, in literal_eval$", re.MULTILINE)
_UNPRINTED: Final = re.compile(r"^Message: ['\"]return:", re.MULTILINE)
_LOGGING: Final = "--- Logging error ---\n"
_USAGE: Final = re.compile(r"^usage: deepaas-cli predict ", re.MULTILINE)
_HELP: Final = re.compile(r"^ *-h, --help\b", re.MULTILINE)
_TOO_OLD: Final = re.compile(
    r"^Error: DEEPaaS version must be >=(?P<needed>\S+)\. Current version is: (?P<current>.*)$",
    re.MULTILINE,
)
_NO_DEEPAAS: Final = re.compile(
    r"No such file or directory: 'deepaas-cli'|, in compare_versions$", re.MULTILINE
)
_NOT_LOADED: Final = re.compile(r"^\[ERROR\]: .*$", re.MULTILINE)
_TRACEBACKS: Final = 100
_GAVE_UP: Final = "Something went wrong during the execution."
_UNSEEN: Final = (
    ". Or it returned None or a whole number, which this version of DEEPaaS does not show in sync"
    " mode: then use async mode"
)
_OURS: Final = re.compile(
    rf"^\[\*\] |^event-file-|^Output will be saved on:|^usage: deepaas-cli|{STAMP}", re.MULTILINE
)

_HINTS: Final = (
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


def model_error(text: str, log: str) -> Failure | None:
    """The exception that ended the prediction; None when none did. `text` without colours."""
    last_one = deque(records(_CRITICAL, text), 1)
    if not last_one:
        return None
    critical = last_one[0]
    lines = (found["line"] for found in _ERROR_LINE.finditer(text, critical.end()))
    causes = _causes("\n".join(lines), _WHOLE_EXCEPTION) or [
        critical["summary"] or "an error without a name"
    ]
    first, last = causes[0], causes[-1]
    message = first if last == first else f"{first} (the module reported it as {last})"
    return _permanent("model_error", message, log)


def fault(text: str, log: str, *, whole: bool = True) -> Failure:
    """Why there is no result in `text`, which is without colours and the echo of the command.

    `whole`: whether the service's answer is known to be there to its end.
    """
    if (failure := model_error(text, log)) is not None:
        return failure
    if not whole and is_help(text):
        return cut_off(log)
    if _CALLED.search(text) is None and (failure := _not_called(text, log)) is not None:
        return failure
    if (failure := _unprinted(text, log)) is not None:
        return failure
    if _OURS.search(text) is None:
        return Failure(
            "unreadable",
            "the answer is none of the platform's service script: "
            + (f"it begins with {text.strip()[:80]!r}" if text.strip() else "it is empty")
            + "; check that the endpoint is that of an AI4OS service",
            Kind.TRANSIENT,
            log=log,
        )
    return killed_model(log, _UNSEEN if is_bare(text) else "") if whole else cut_off(log)


def cut_off(log: str) -> Failure:
    """The answer ends in the middle: what is there of it is not what the model returned."""
    return Failure(
        CUT_OFF,
        "the answer was cut off before its end, by a connection or a proxy, or because it was still"
        " being written: what is there of it is not the prediction. Another attempt may bring all"
        " of it; if it happens again and again, use async mode",
        Kind.TRANSIENT,
        log=log,
    )


def raise_if_hopeless(outcome: Outcome) -> Outcome:
    """The outcome, unless it says that no item can succeed: then FatalError."""
    if isinstance(outcome, Failure) and outcome.code == TOO_OLD:
        raise FatalError(outcome.code, outcome.message)
    return outcome


def killed_model(log: str, remark: str = "") -> Failure:
    """Neither a result nor an error line: the model was killed."""
    return Failure(
        "model_killed",
        "the model ended without a result and without an error: most likely it was killed because"
        " it needed more memory than the service has. If that happens again, give the service more"
        " memory or the model smaller input" + remark,
        Kind.TRANSIENT,
        log=log,
    )


def is_help(text: str) -> bool:
    """Whether the service answered with the model's help (`{"help": ""}`, contract section 3)."""
    usage = _USAGE.search(text)
    return usage is not None and bool(_HELP.search(text, usage.end())) and not _CALLED.search(text)


def _not_called(text: str, log: str) -> Failure | None:
    """What kept the model from being called."""
    for why in (_too_old, _script_failed, _refused, _helped, _not_loaded):
        if (failure := why(text, log)) is not None:
            return failure
    return None


def _too_old(text: str, log: str) -> Failure | None:
    if old := _TOO_OLD.search(text):
        what = f"DEEPaaS {old['current']}, and the platform needs {old['needed']}"
    elif _NO_DEEPAAS.search(text):
        what = "no DEEPaaS that the platform can use"
    else:
        return None
    todo = "deploy a newer image of the model, or ask its maintainers for one"
    return _permanent(TOO_OLD, f"the model's image has {what}: {todo}", log)


def _script_failed(text: str, log: str) -> Failure | None:
    if 'File "<stdin>"' in text:
        what = ["its script failed", *_causes(text, _EXCEPTION)][-1]
    elif _GAVE_UP in text:
        what = "its command line could not be run (is a value too long?)"
    else:
        return None
    return _permanent("bad_payload", f"the service could not use what it was sent: {what}", log)


def _refused(text: str, log: str) -> Failure | None:
    if found := _ARGPARSE.search(text):
        error = found["error"]
    elif _LITERAL.search(text):
        error = ["a list or dict is no Python literal", *_causes(text, _EXCEPTION)][-1]
    else:
        return None
    hint = next(hint for words, hint in _HINTS if words in error)
    return _permanent("bad_param", f"the service refused a parameter: {error} ({hint})", log)


def _unprinted(text: str, log: str) -> Failure | None:
    """A value that DEEPaaS could not write into its log: text that no UTF-8 can hold."""
    _, mark, trouble = text.partition(_LOGGING)
    if not mark or _UNPRINTED.search(trouble) is None:
        return None
    why = ["it cannot be printed", *_causes(trouble, _EXCEPTION)][-1]
    message = f"DEEPaaS could not write the result into its answer: {why}. Async mode may bring it"
    return _permanent("model_error", message, log)


def _helped(text: str, log: str) -> Failure | None:
    if not is_help(text):
        return None
    message = (
        "the service answered with the model's help instead of a prediction:"
        " leave the parameter 'help' out"
    )
    return _permanent("help", message, log)


def _not_loaded(text: str, log: str) -> Failure | None:
    found = _NOT_LOADED.search(text)
    causes = [found[0]] if found else _causes(text, _EXCEPTION)
    if not causes:
        return None
    return _permanent("model_error", f"the model cannot be loaded: {causes[0]}", log)


def _causes(text: str, exception: re.Pattern[str]) -> list[str]:
    """`<Type>: <message>` of each traceback in `text`, first cause first.

    Everything of a frame is indented; the first line that is not names the exception.
    """
    places = (exception.search(text, trace.end()) for trace in _TRACEBACK.finditer(text))
    return [_short(place[0]) for place in islice(places, _TRACEBACKS) if place is not None]


def _permanent(code: str, message: str, log: str) -> Failure:
    return Failure(code, _short(message), Kind.PERMANENT, log=log)


def _short(message: str) -> str:
    """One line, not too long."""
    line = " ".join(message[: 4 * _LONGEST].split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
