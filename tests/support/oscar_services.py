"""OSCAR services as the examples of OSCAR are: a script each; what it does is told by its input."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import ServiceProcess, start_service
from support.paths import ROOT

SUPERVISOR = ROOT / ".venv-supervisor"
HAS_SUPERVISOR = (SUPERVISOR / ".stamp").exists()

PROGRAM = """
import hashlib, json, os, pathlib, sys, zipfile
source = pathlib.Path(os.environ["INPUT_FILE_PATH"])
target = pathlib.Path(os.environ["TMP_OUTPUT_DIR"])
data = source.read_bytes()
stem = source.name.partition(".")[0]
command, _, rest = data.partition(b"\\n")
if data[:4] == b"\\x89PNG":  # imagemagick/greyscale: a picture of the same name
    from PIL import Image
    Image.open(source).convert("L").save(target / (stem + ".png"))
elif command == b"say":  # cowsay: nothing but what is printed
    print("moo:", rest.decode())
elif command == b"several":  # fish-detector: boxes, and the picture with them
    (target / f"{stem}.json").write_text(json.dumps({"sha256": hashlib.sha256(rest).hexdigest()}))
    (target / f"{stem}_mask.bin").write_bytes(rest[::-1])
    (target / f"{stem}_parts").mkdir()
    (target / f"{stem}_parts" / "one.txt").write_bytes(rest)
elif command == b"zip":  # a zip of its own
    with zipfile.ZipFile(target / f"{stem}.zip", "w") as archive:
        archive.writestr("a.txt", rest)
elif command == b"json":
    (target / f"{stem}-out.json").write_text(json.dumps([rest.decode()]))
elif command == b"fail":
    print("it begins")
    raise ValueError("no such animal")
elif command == b"text":
    (target / f"{source.name}.txt").write_bytes(rest)
"""


def write_script(folder: Path) -> Path:
    """A script as it stands in an FDL: a shell's, which calls the program."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "program.py").write_text(PROGRAM)
    script = folder / "script.sh"
    script.write_text(f'#!/bin/bash\n"{sys.executable}" "{folder / "program.py"}"\n')
    return script


@contextmanager
def oscar_service(folder: Path, *, real: bool = False, **options: Any) -> Iterator[ServiceProcess]:
    """A service with that script; `real`: by OSCAR's own supervisor."""
    supervisor = str(SUPERVISOR) if real else None
    script = str(write_script(folder))
    with start_service(
        LocalServiceOptions(script=script, supervisor_venv=supervisor, **options)
    ) as started:
        yield started


def several(folder: Path, count: int) -> Path:
    """Inputs, each of which has three outputs."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:03d}.several.in").write_bytes(b"several\nno %d" % number)
    return folder


def sha256(number: int) -> str:
    return hashlib.sha256(b"no %d" % number).hexdigest()


def unpack(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def read_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
