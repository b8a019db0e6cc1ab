"""Values that only mypy keeps as they are: it does, and all else is as with frozen dataclasses."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass, fields, replace

import pytest

from batchinfer import domain
from batchinfer.domain import Attempt, InputFile, Item, Record, RemoteFile, Reply, SentFile
from batchinfer.values import value_class
from support.paths import ROOT

ASSIGNMENTS = """
from batchinfer.domain import Item, RemoteFile, Reply
from batchinfer.protocols.inference_protocol import HttpAnswer

def change(reply: Reply, item: Item, file: RemoteFile, answer: HttpAnswer) -> None:
    reply.log = ""
    item.key = ""
    file.path = ""
    answer.body = b""
"""


@value_class
class Point:
    x: int
    y: int = 0


@dataclass(frozen=True, slots=True)
class FrozenPoint:
    x: int
    y: int = 0


def test_mypy_lets_nobody_change_a_value(tmp_path):
    module = tmp_path / "assignments.py"
    module.write_text(ASSIGNMENTS)
    command = [sys.executable, "-m", "mypy", str(module)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    for name in ("Reply", "Item", "RemoteFile", "HttpAnswer"):
        assert f'defined in "{name}" is read-only' in told.stdout


def test_a_value_is_otherwise_what_a_frozen_dataclass_is():
    for made in (Point, FrozenPoint):
        assert repr(made(1)).endswith("Point(x=1, y=0)")
        assert made(1) == made(1, 0) != made(0, 1)
        assert hash(made(1)) == hash((1, 0))
        assert replace(made(1), y=2) == made(1, 2)
        assert [field.name for field in fields(made)] == ["x", "y"]
        assert made.__match_args__ == ("x", "y")
        with pytest.raises((AttributeError, FrozenInstanceError, TypeError)):
            made(1).z = 1


@pytest.mark.parametrize("kind", [Attempt, InputFile, Item, Record, RemoteFile, Reply, SentFile])
def test_the_values_of_each_item_are_of_this_kind(kind):
    assert kind.__setattr__ is object.__setattr__


def test_other_values_stay_frozen():
    """What users of the Python API get."""
    with pytest.raises(FrozenInstanceError):
        domain.Counts().pending = 1


def test_a_reply_gets_the_files_that_were_sent():
    files = (SentFile("files", 3, "0" * 64),)
    reply = Reply("text/plain", "a", b"b", "log", 0.5, (), object())
    with_files = reply.with_inputs(files)
    assert with_files == replace(reply, inputs=files)
    assert with_files.lease is reply.lease
