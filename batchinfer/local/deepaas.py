"""What `deepaas-cli predict` does and writes in a container: arguments, log records, results.

Rules (docs/platform.md; texts compared with `tests/fixtures`):

* Everything goes to stdout: in a container stdout and stderr are one file.
* The words of 2.5.1, 2.5.2 and 2.6.0 differ: `LogStyle` is all there is to it.
* Only the standard library is imported. With `--threads` the service calls `predict`; otherwise it
  runs this file as a program for each prediction, and an import is then paid each time.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import inspect
import io
import json
import logging
import mimetypes
import os
import signal
import sys
import time
import traceback
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ModelFunction: typing.TypeAlias = Callable[..., object]

_DEEPAAS_LOGGER = logging.getLogger("deepaas.cmd.cli")
_CRASH_LOGGER = logging.getLogger("deepaas-cli")


@dataclass(frozen=True, slots=True)
class LogStyle:
    """How one version of DEEPaaS words its log."""

    called: str = "predict was called."
    returned: str = "return: {}"
    """Empty: the bare text on a line of its own."""
    saved: str = "return: Output is saved in {}"
    prints_saved_result: bool = False
    """Whether the result is printed although it is saved."""
    warning: str = ""
    line_ending: str = ""
    """Of every log record."""


LOG_STYLES = {
    "2.5.1": LogStyle(
        called="[INFO, Method] predict was called.",
        returned="",
        saved="[INFO, Output] Output is saved in {}",
        prints_saved_result=True,
        warning="[WARNING] ",
    ),
    "2.5.2": LogStyle(),
    "2.6.0": LogStyle(line_ending="\x1b[00m"),
}


class LogHandler(logging.Handler):
    """Writes records to whatever `sys.stdout` is at that moment, in the style's shape."""

    def __init__(self, style: LogStyle) -> None:
        super().__init__()
        self._ending = style.line_ending

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record; a traceback as ERROR lines, and an empty one, below it."""
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        stamp = f"{moment}.{int(record.msecs):03d} {record.process}"
        text = f"{stamp} {record.levelname} {record.name} [-] {record.getMessage()}"
        if record.exc_info:
            lines = "".join(traceback.format_exception(*record.exc_info)).splitlines()
            text += "".join(f"\n{stamp} ERROR {record.name} {line}" for line in (*lines, ""))
        _write(f"{text}{self._ending}\n")


def predict(
    parser: ModelParser,
    argv: Sequence[str],
    style: LogStyle,
    folder: Path,
    on_called: Callable[[], None],
) -> None:
    """Predict once and print everything a container would; raises nothing of the model's.

    `argv` is what follows `deepaas-cli`; files in it are relative to `folder`. `before` is called
    once the model is under way: to kill it there.
    """
    try:
        output, params = parser.parse_args(argv, folder)
    except SystemExit:  # help, or an error in the arguments: argparse has said it
        return
    except Exception:  # noqa: BLE001 - DEEPaaS lets these out raw (a SyntaxError in a list)
        _write(traceback.format_exc())
        return
    _DEEPAAS_LOGGER.info(style.called)
    on_called()
    try:
        result = parser.model(**params)
        if output is not None:
            _save_result(result, output, params, style)
    except Exception as error:
        _CRASH_LOGGER.critical(
            "Unhandled error: %s: %s", type(error).__name__, error, exc_info=error
        )
        return
    if output is None or style.prints_saved_result:
        _print_result(style.returned, result)


class ModelParser:
    """The command line of `deepaas-cli`, made from the signature of a model."""

    def __init__(self, model: ModelFunction) -> None:
        self.model = model
        parameters = inspect.signature(model, eval_str=True).parameters.values()
        self._accepts_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
        self._file_params = {p.name for p in named if _describe_parameter(p)[1] is Path}
        self._parser = _make_parser("deepaas-cli", _DEEPAAS_OPTIONS)
        methods = self._parser.add_subparsers(dest="method")
        for method in ("get_metadata", "warm", "predict", "train"):
            added = methods.add_parser(method, formatter_class=_formatter)
            if method == "predict":
                for parameter in named:
                    _add_parameter(added, parameter)
                if self._accepts_any:  # unlike any module of DEEPaaS: said as argparse says it
                    usage = added.format_usage().removeprefix("usage: ").rstrip()
                    added.usage = f"{usage} ..."
        self._param_names = [p.name for p in named]

    def parse_args(self, argv: Sequence[str], folder: Path) -> tuple[str | None, dict[str, object]]:
        """Where to save the result, if anywhere, and the model's parameters.

        Raises SystemExit when argparse has printed help or an error, and what a conversion raises.
        """
        known, rest = self._parser.parse_known_args(argv)
        if rest and not self._accepts_any:
            self._parser.error(f"unrecognized arguments: {' '.join(rest)}")
        found = vars(known)
        params = {name: found[name] for name in self._param_names}
        for name in self._file_params:
            params[name] = params[name] and folder / params[name]
        pairs = zip(rest[::2], rest[1::2], strict=False)
        params |= {name.removeprefix("--"): value for name, value in pairs}
        return found["deepaas_method_output"], params


def load_model(spec: str) -> ModelFunction:
    """The model of that name: `module:function`, `command:...`, or one of `models.py`.

    Raises ImportError, AttributeError.
    """
    kind, _, rest = spec.partition(":")
    if kind == "command":
        return typing.cast("ModelFunction", _load_models_module().make_command_model(rest))
    if not rest:
        return typing.cast("ModelFunction", getattr(_load_models_module(), kind))
    return typing.cast("ModelFunction", getattr(importlib.import_module(kind), rest))


def main(argv: Sequence[str]) -> None:
    """Be the container: `VERSION MODEL PATH HOW ARGUMENT...`, predicting in this folder.

    HOW is `live`, `die` (be killed half-way) or `check` (only see whether there is such a model).
    """
    version, spec, path, action, *arguments = argv
    sys.path.insert(0, path)
    sys.stderr = sys.stdout
    root = logging.getLogger()
    root.addHandler(LogHandler(LOG_STYLES[version]))
    root.setLevel(logging.INFO)
    parser = ModelParser(load_model(spec))
    on_called = _kill_self if action == "die" else _do_nothing
    if action != "check":
        predict(parser, arguments, LOG_STYLES[version], Path.cwd(), on_called)


# -- results -------------------------------------------------------------------------------------


def _save_result(result: object, output: str, params: dict[str, object], style: LogStyle) -> None:
    """Write the result where it shall be, under the extension of what was asked for."""
    accept = params.get("accept")
    extension = mimetypes.guess_extension(str(accept)) if accept else ".json"
    if extension is not None:
        output += extension
        _DEEPAAS_LOGGER.warning(
            "%sYou are trying to store %s type data in the file with  extension!\n"
            "===================> New output is %s",
            style.warning,
            extension,
            output,
        )
    if extension in {".json", None}:
        Path(output).write_text(json.dumps(result))
    elif isinstance(result, io.BytesIO):
        Path(output).write_bytes(result.getvalue())
    else:
        _DEEPAAS_LOGGER.info("Output of type type(%s), %s", result, result)
    _DEEPAAS_LOGGER.info(style.saved.format(output))


def _print_result(pattern: str, result: object) -> None:
    if pattern:
        _DEEPAAS_LOGGER.info(pattern.format(result))
    elif not isinstance(result, int | None):  # Python exits with it, which prints all but these
        _write(f"{result}\n")


def _write(text: str) -> None:
    """To the container's one log: a thread's, or this process's."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _do_nothing() -> None:
    pass


def _load_models_module() -> types.ModuleType:
    """The file beside this one, without importing the package: that would take far longer."""
    path = Path(__file__).with_name("models.py")
    spec = importlib.util.spec_from_file_location("batchinfer_local_models", path)
    assert spec is not None  # noqa: S101 - a file that is there
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# -- arguments -----------------------------------------------------------------------------------

_DEEPAAS_OPTIONS = """client-max-size=CLIENT_MAX_SIZE config-dir=DIR config-file=PATH debug
debug-endpoint deepaas_method_output=DEEPAAS_METHOD_OUTPUT deepaas_with_multiprocessing doc-endpoint
log-config-append=PATH log-date-format=DATE_FORMAT log-dir=LOG_DIR log-file=PATH
model-name=MODEL_NAME nodebug nodebug-endpoint nodeepaas_with_multiprocessing nodoc-endpoint
nopredict-endpoint notrain-endpoint nouse-journal nouse-json nouse-syslog nowarm
nowatch-log-file predict-endpoint syslog-log-facility=SYSLOG_LOG_FACILITY train-endpoint
use-journal use-json use-syslog version warm watch-log-file workers=WORKERS"""
"""DEEPaaS's own options. They matter: a parameter whose name begins several of them is ambiguous,
and cannot be sent at all where Python is older than 3.12.8 (docs/platform.md)."""


def _formatter(prog: str) -> argparse.RawTextHelpFormatter:
    return argparse.RawTextHelpFormatter(prog, max_help_position=10, width=78)


def _make_parser(prog: str, options: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog, formatter_class=_formatter)
    for option in options.split():
        name, _, metavar = option.partition("=")
        if metavar:
            parser.add_argument(f"--{name}", metavar=metavar)
        else:
            parser.add_argument(f"--{name}", action="store_true")
    return parser


def _add_parameter(parser: argparse.ArgumentParser, parameter: inspect.Parameter) -> None:
    """One parameter of the model, with its help in DEEPaaS's grammar."""
    description, kind, choices = _describe_parameter(parameter)
    convert, words = _TYPE_CONVERTERS.get(kind, (str, "Type: str"))
    required = parameter.default is parameter.empty
    lines = [description.replace("%", "%%"), words]
    lines.append("*Required*" if required else f"Default: {parameter.default}".replace("%", "%%"))
    if choices:
        lines.append(f"Choices: {list(choices)}")
    parser.add_argument(
        f"--{parameter.name}",
        type=convert,
        required=required,
        default=None if required else parameter.default,
        help="\n".join(line for line in lines if line),
    )


def _describe_parameter(parameter: inspect.Parameter) -> tuple[str, object, tuple[object, ...]]:
    """Description, type and choices of a parameter, from its annotation.

    `Annotated[T, "..."]` describes it, `Literal[...]` lists choices, `| None` means nothing here,
    `Path` is a file.
    """
    kind, description = parameter.annotation, ""
    if typing.get_origin(kind) is typing.Annotated:
        kind, description = typing.get_args(kind)[:2]
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        kind = next(arg for arg in typing.get_args(kind) if arg is not types.NoneType)
    if typing.get_origin(kind) is typing.Literal:
        choices = typing.get_args(kind)
        return description, type(choices[0]), choices
    return description, typing.get_origin(kind) or kind, ()


def _parse_bool(text: str) -> bool:
    return text.lower() in {"yes", "true", "t", "1"}


_TYPE_CONVERTERS: dict[object, tuple[Callable[[str], object], str]] = {
    str: (str, "Type: str"),
    int: (int, "Type: int"),
    float: (float, "Type: float"),
    bool: (_parse_bool, "Type: bool"),
    list: (ast.literal_eval, 'Type: list, enclosed as string: "[...]"'),
    dict: (ast.literal_eval, 'Type: dict, enclosed as string: "{...}"'),
    Path: (str, "Type: str (filepath)"),
}

if __name__ == "__main__":
    main(sys.argv[1:])
