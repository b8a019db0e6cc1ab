"""The script that every AI4OS service runs around DEEPaaS: payload in, files and a log out.

Rules (docs/platform.md, "Jobs through the bucket", "The payload"):

* A call runs on a file named `event-file-<uuid>`: its log is the answer's body. A job runs on an
  object: its log, and its result under the same name, are uploaded.
* Only for a name ending in `.json` is DEEPaaS told to save its result.
* The script's own lines stand after those of DEEPaaS: they leave a buffer when it ends.
* Afterwards it looks for `New output is` in the log and renames, with unquoted shell words: so a
  name with a blank, and the colour code of 2.6.0, leave the result under its temporary name.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import traceback
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from string import ascii_lowercase

EXECUTION_FAILED = "Something went wrong during the execution."
_TEMP_FILE_PREFIX = "tmp-file-"
_MAX_ARGUMENT_BYTES = 131_072
"""Bytes of one argument, its closing zero included, that Linux passes to a program."""


@dataclass(slots=True)
class PreparedCommand:
    """What became of a payload."""

    argv: list[str] = field(default_factory=list)
    """What follows `deepaas-cli` on its command line; of no use with `crash`."""
    script_lines: list[str] = field(default_factory=list)
    """The script's own lines."""
    traceback: str = ""
    """The traceback, if the payload cannot be made a command line."""
    sha256: str | None = None
    """Of the first file's data, for the journal."""


@dataclass(frozen=True, slots=True)
class WorkDirs:
    """Where one prediction works."""

    working: Path
    """The working directory; files of the payload are written to it."""
    outputs: Path
    """What is found in it at the end is what the prediction returns."""
    rng: Random


def prepare_command(payload: bytes, dirs: WorkDirs, *, save_output: bool) -> PreparedCommand:
    """Turn a payload into a command line, writing its files. Never raises for a bad one."""
    prepared = PreparedCommand()
    try:
        if save_output:
            output = f"{dirs.outputs}/{_TEMP_FILE_PREFIX}{_random_letters(dirs.rng)}"
            prepared.script_lines.append(f"Output will be saved on: {output}")
            prepared.argv += ["--deepaas_method_output", output]
        prepared.argv.append("predict")
        for name, value in json.loads(payload.decode()).items():
            if name == "oscar-files":
                for entry in value:
                    _write_input_file(entry, dirs, prepared)
            else:
                prepared.argv += [f"--{name}", str(value) if _is_number(value) else value]
        command = " ".join(["deepaas-cli", *prepared.argv])
        is_too_long = any(
            len(word.encode()) >= _MAX_ARGUMENT_BYTES or "\0" in word for word in prepared.argv
        )
    except Exception as error:  # noqa: BLE001 - whatever a payload breaks is the script's answer
        prepared.traceback = _format_traceback(error)
        return prepared
    prepared.script_lines.append(f"[*] Final command: {command}")
    if is_too_long:
        prepared.script_lines.append(EXECUTION_FAILED)
        prepared.argv = []
    return prepared


def build_response_body(log: str, outputs: Path, *, name: str, versions: tuple[str, str]) -> bytes:
    """The body of a call's answer: the log, or, if files were left, those in base64."""
    files = _read_files(outputs)
    match list(files.values()):
        case []:
            head = (
                f"[*] Using DEEPaaS version {versions[0]}\n"
                f"[*] Using Python version Python {versions[1]}\n{name}\n"
            )
            return f"{head}{log}\n".encode()
        case [data]:
            return base64.b64encode(data)
        case _:
            return base64.b64encode(_zip_files(files))


def build_uploads(log: str, outputs: Path, *, name: str) -> Mapping[str, bytes]:
    """What a job uploads to `outputs/`: names without folder, and contents.

    `name` is the base name of the input object.
    """
    stem = name.split(".", maxsplit=1)[0]
    target = None if re.search(r"\s", stem) else stem
    if new := re.search("^.*New output is.*$", log, re.MULTILINE):
        words = new.group().split(" ")
        source = Path(words[4] if len(words) > 4 else "")  # noqa: PLR2004 - the script's `cut -f 5`
        if target and source.parent == outputs and source.is_file():
            source.rename(outputs / f"{target}.json")
    elif "event-file" in stem:
        target = None
    if target:
        (outputs / f"{target}.log").write_bytes(log.encode())
    return _read_files(outputs)


def _write_input_file(entry: dict[str, str], dirs: WorkDirs, prepared: PreparedCommand) -> None:
    """Write one file of the payload and pass it on; raises whatever a bad entry breaks."""
    suffix, letters = entry["file_format"], _random_letters(dirs.rng)
    if suffix:
        filename = f"{_TEMP_FILE_PREFIX}{letters}.{suffix}"
    else:  # the script mixes up its two kinds of temporary files: the input comes back
        filename = f"{dirs.outputs}/{_TEMP_FILE_PREFIX}{letters}"
        prepared.script_lines.append(f"Output will be saved on: {filename}")
    key = entry["key"]
    prepared.script_lines.append(f"[*] Processing file:  {filename}")
    with (dirs.working / filename).open("wb") as file:
        data = base64.b64decode(entry["data"])
        file.write(data)
    prepared.sha256 = prepared.sha256 or hashlib.sha256(data).hexdigest()
    prepared.argv += [f"--{key}", filename]


def _is_number(value: object) -> bool:
    """Whether the script spells it; anything else but a string then breaks the command line."""
    return isinstance(value, int | float)


def _format_traceback(error: Exception) -> str:
    """As Python prints it for a program read from standard input."""
    last = "".join(traceback.format_exception_only(error))
    return f'Traceback (most recent call last):\n  File "<stdin>", line 62, in <module>\n{last}'


def _random_letters(rng: Random) -> str:
    return "".join(rng.choices(ascii_lowercase, k=5))


def _read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _zip_files(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()
