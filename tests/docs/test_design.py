"""`docs/design.md` describes every package, and its glossary is short."""

import re
from pathlib import Path

import batchinfer
from support.paths import ROOT

PAGE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(title: str) -> list[str]:
    return re.findall(r"^\| ([^|]*[*`][^|]*) \|", section(title), re.MULTILINE)


def test_every_package_and_module_is_described_and_no_other():
    described = set(re.findall(r"`(\w+)(?:/|\.py)`", " ".join(first_cells("Packages"))))
    folder = Path(batchinfer.__file__).parent
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    modules = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}

    assert described == packages | modules


def test_the_glossary_has_at_most_fifteen_entries():
    assert 0 < len(first_cells("Glossary")) <= 15
