"""The reference pages are made from the code, and every public name is documented and typed."""

import inspect
import subprocess
import sys
from typing import get_type_hints

import pytest

import batchinfer as bi
from batchinfer import cli
from batchinfer.config.sections import SECTIONS
from support.paths import ROOT

PAGE = (ROOT / "docs" / "reference" / "python.md").read_text()
FUNCTIONS = [name for name in bi.__all__ if inspect.isfunction(getattr(bi, name))]
METHODS = [name for name, _ in inspect.getmembers(bi.Run, inspect.isfunction) if name[0] != "_"]
CLASSES = [name for name in bi.__all__ if inspect.isclass(getattr(bi, name))]
PUBLIC = [*(getattr(bi, name) for name in FUNCTIONS), *(getattr(bi.Run, name) for name in METHODS)]
SERVED_BY_START_SERVICE = {"local"}


def test_the_pages_are_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate_reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("name", sorted(set(cli.COMMAND_SUMMARIES) - SERVED_BY_START_SERVICE))
def test_every_command_has_its_python_form_sync_and_async(name: str):
    owner = bi if name in bi.__all__ else bi.Run

    assert inspect.isfunction(getattr(owner, name))
    assert inspect.iscoroutinefunction(getattr(owner, f"a{name}"))
    assert getattr(owner, name).__doc__ == getattr(owner, f"a{name}").__doc__ or name == "query"


@pytest.mark.parametrize("function", PUBLIC, ids=lambda each: each.__qualname__)
def test_every_public_function_is_documented_and_typed(function):
    signature = inspect.signature(function)
    hints = get_type_hints(inspect.unwrap(function))
    arguments = [name for name in signature.parameters if name != "self"]

    assert function.__doc__
    assert {*arguments, "return"} <= hints.keys()


@pytest.mark.parametrize("function", PUBLIC, ids=lambda each: each.__qualname__)
def test_no_type_of_anyio_is_part_of_a_public_signature(function):
    hints = get_type_hints(inspect.unwrap(function))

    assert [name for name, hint in hints.items() if "anyio" in repr(hint)] == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_stands_in_the_reference(name: str):
    assert f"\n### {name}\n" in PAGE or f"`{name}`" in PAGE


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_class_stands_in_the_reference(name: str):
    assert f"\n### {name}\n" in PAGE or f"| `{name}` |" in PAGE or name in {"Run", "Settings"}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_a_run_stands_in_the_reference(name: str):
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", cli.COMMAND_SUMMARIES)
def test_every_command_stands_in_the_reference(name: str):
    text = (ROOT / "docs" / "reference" / "cli.md").read_text()

    assert f"\n## batchinfer {name}\n" in text


@pytest.mark.parametrize("name", SECTIONS)
def test_every_key_of_the_configuration_says_what_it_means(name: str):
    text = (ROOT / "docs" / "reference" / "config.md").read_text()
    section = text.partition(f"\n## [{name}]\n")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]

    assert [cells[0] for cells in rows if not cells[-1].strip(" |")] == []
