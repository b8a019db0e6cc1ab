"""The script that every AI4OS service runs around DEEPaaS: payload in, files and a log out.

Rules (contract sections 2 and 3):

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

WENT_WRONG = "Something went wrong during the execution."
_TEMPORARY = "tmp-file-"
_LONGEST_ARGUMENT = 131_072
"""Bytes of one argument, its closing zero included, that Linux passes to a program."""


@dataclass(slots=True)
class Prepared:
    """What became of a payload."""

    argv: list[str] = field(default_factory=list)
    """What follows `deepaas-cli` on its command line; of no use with `crash`."""
    said: list[str] = field(default_factory=list)
    """The script's own lines."""
    crash: str = ""
    """The traceback, if the payload cannot be made a command line."""
    sha256: str | None = None
    """Of the first file's data, for the journal."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one prediction works."""

    folder: Path
    """The working directory; files of the payload are written to it."""
    outputs: Path
    """What is found in it at the end is what the prediction returns."""
    chance: Random


def prepare(payload: bytes, place: Place, *, saving: bool) -> Prepared:
    """Turn a payload into a command line, writing its files. Never raises for a bad one."""
    prepared = Prepared()
    try:
        if saving:
            output = f"{place.outputs}/{_TEMPORARY}{_letters(place.chance)}"
            prepared.said.append(f"Output will be saved on: {output}")
            prepared.argv += ["--deepaas_method_output", output]
        prepared.argv.append("predict")
        for name, value in json.loads(payload.decode()).items():
            if name == "oscar-files":
                for entry in value:
                    _write(entry, place, prepared)
            else:
                prepared.argv += [f"--{name}", str(value) if _is_number(value) else value]
        command = " ".join(["deepaas-cli", *prepared.argv])
        impossible = any(
            len(word.encode()) >= _LONGEST_ARGUMENT or "\0" in word for word in prepared.argv
        )
    except Exception as error:  # noqa: BLE001 - whatever a payload breaks is the script's answer
        prepared.crash = _traceback(error)
        return prepared
    prepared.said.append(f"[*] Final command: {command}")
    if impossible:
        prepared.said.append(WENT_WRONG)
        prepared.argv = []
    return prepared


def body(log: str, outputs: Path, *, name: str, versions: tuple[str, str]) -> bytes:
    """The body of a call's answer: the log, or, if files were left, those in base64."""
    files = _contents(outputs)
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
            return base64.b64encode(_zip(files))


def uploads(log: str, outputs: Path, *, name: str) -> Mapping[str, bytes]:
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
    return _contents(outputs)


def _write(entry: dict[str, str], place: Place, prepared: Prepared) -> None:
    """Write one file of the payload and pass it on; raises whatever a bad entry breaks."""
    suffix, letters = entry["file_format"], _letters(place.chance)
    if suffix:
        filename = f"{_TEMPORARY}{letters}.{suffix}"
    else:  # the script mixes up its two kinds of temporary files: the input comes back
        filename = f"{place.outputs}/{_TEMPORARY}{letters}"
        prepared.said.append(f"Output will be saved on: {filename}")
    key = entry["key"]
    prepared.said.append(f"[*] Processing file:  {filename}")
    with (place.folder / filename).open("wb") as file:
        data = base64.b64decode(entry["data"])
        file.write(data)
    prepared.sha256 = prepared.sha256 or hashlib.sha256(data).hexdigest()
    prepared.argv += [f"--{key}", filename]


def _is_number(value: object) -> bool:
    """Whether the script spells it; anything else but a string then breaks the command line."""
    return isinstance(value, int | float)


def _traceback(error: Exception) -> str:
    """As Python prints it for a program read from standard input."""
    last = "".join(traceback.format_exception_only(error))
    return f'Traceback (most recent call last):\n  File "<stdin>", line 62, in <module>\n{last}'


def _letters(chance: Random) -> str:
    return "".join(chance.choices(ascii_lowercase, k=5))


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _zip(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()
