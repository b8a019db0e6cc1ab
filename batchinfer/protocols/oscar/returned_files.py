"""What the files are that a service returned: data, text, bytes, or several files. Pure.

===============================  ===================================================================
what came                        is
===============================  ===================================================================
nothing, or only empty files     Failure `no_output`, transient
only a log (async)               Failure `no_output`, transient, with that log
one file: JSON                   a Reply with data (any JSON in a file `.json`, else an object or
                                 array); JSON that does not close: Failure `answer_cut_off`
one file: other text             a Reply with text
one file: anything else          a Reply with bytes and their media type: an image, a zip
several files, one of them JSON  a Reply with the data of that one, and all files beside it
                                 (files `.json` come before others that are an object or array)
several files, else              a Reply with all files, as a zip
===============================  ===================================================================

A file `.log` is a log, unless it is asked for as an output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from batchinfer.domain import (
    JSON_MEDIA_TYPE,
    TEXT_MEDIA_TYPE,
    ZIP_MEDIA_TYPE,
    Failure,
    FailureKind,
    OutputFile,
    Reply,
    ServiceSignal,
)
from batchinfer.protocols.ai4os.transcript_failures import cut_off_failure
from batchinfer.protocols.ai4os.truncation import parse_saved_json
from batchinfer.protocols.media_types import OCTET_STREAM, sniff_media_type

LOG_EXTENSION: Final = ".log"
_JSON_EXTENSIONS: Final = (".json", ".geojson")
_OUTPUT_NAME: Final = "output"
"""Stands in the names of files for the stem, which tells nobody anything."""
_NO_JSON: Final = object()


def read_output_files(
    stem: str, files: Mapping[str, bytes], is_output: Callable[[str], bool]
) -> Reply | Failure:
    """What the outputs of an attempt are, by name. `is_output`: whether a log is asked for."""
    logs = [name for name in files if name.endswith(LOG_EXTENSION) and not is_output(name)]
    log = "\n".join(files[name].decode("utf-8", "replace") for name in logs)
    outputs = [
        OutputFile(_shorten_name(stem, name), data)
        for name, data in files.items()
        if name not in logs
    ]
    if not any(each.data for each in outputs):
        return explain_no_output("the service wrote only a log" if logs else _ONLY_EMPTY, log)
    if len(outputs) == 1:
        return read_file(outputs[0].data, name=outputs[0].name, log=log)
    return _read_several_files(outputs, log)


def read_file(data: bytes, *, name: str = "", log: str = "") -> Reply | Failure:
    """What one file is, by its name and its bytes."""
    if not data:
        return explain_no_output(_ONLY_EMPTY, log)
    if (media_type := sniff_media_type(data)) is not None:
        return Reply(media_type, data=data, log=log)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Reply(OCTET_STREAM, data=data, log=log)
    return read_text(text, data, name=name, log=log)


def read_text(text: str, data: bytes, *, name: str = "", log: str = "") -> Reply | Failure:
    """What a text is; `data`: the same as it came."""
    if "\0" in text:
        return Reply(OCTET_STREAM, data=data, log=log)
    value = _parse_json(text, name)
    if isinstance(value, Failure):
        return value
    if value is _NO_JSON:
        return Reply(TEXT_MEDIA_TYPE, text, log=log)
    return Reply(JSON_MEDIA_TYPE, value, log=log)  # type: ignore[arg-type]


def explain_no_output(what: str, log: str) -> Failure:
    """The service has worked, and there is no file to take for its output."""
    return Failure(
        "no_output",
        f"{what}: look at its log (`batchinfer show RUN KEY`), and whether it writes its output to "
        "the folder that OSCAR tells it (TMP_OUTPUT_DIR)",
        FailureKind.TRANSIENT,
        log=log,
        signal=ServiceSignal.ANSWERED,
    )


def _read_several_files(outputs: Sequence[OutputFile], log: str) -> Reply | Failure:
    """The data of the one file `.json`, or, without any, of the one that is an object or array."""
    named = [each for each in outputs if _is_json_name(each.name)]
    values: list[object] = []
    for each in named or outputs:
        value = _parse_json_file(each)
        if isinstance(value, Failure):
            return value
        if value is not _NO_JSON:
            values.append(value)
    files = tuple(outputs)
    if len(values) == 1:
        return Reply(JSON_MEDIA_TYPE, values[0], log=log, files=files)  # type: ignore[arg-type]
    return Reply(ZIP_MEDIA_TYPE, log=log, files=files)


def _parse_json_file(file: OutputFile) -> object:
    if sniff_media_type(file.data) is not None:
        return _NO_JSON
    try:
        return _parse_json(file.data.decode(), file.name)
    except UnicodeDecodeError:
        return _NO_JSON


def _parse_json(text: str, name: str) -> object:
    """The JSON that a text is; `_NO_JSON`; a Failure when its end is missing."""
    is_json_file = _is_json_name(name)
    if not is_json_file and text.lstrip()[:1] not in {"{", "["}:
        return _NO_JSON
    parsed = parse_saved_json(text)
    if parsed is None or (parsed.is_truncated and not is_json_file):
        return _NO_JSON
    return cut_off_failure(text) if parsed.is_truncated else parsed.value


def _is_json_name(name: str) -> bool:
    return name.lower().endswith(_JSON_EXTENSIONS)


def _shorten_name(stem: str, name: str) -> str:
    """The name of an output for people: without what is the same for none."""
    return _OUTPUT_NAME + name.removeprefix(stem) if stem else name


_ONLY_EMPTY: Final = "the service wrote nothing but empty files"
