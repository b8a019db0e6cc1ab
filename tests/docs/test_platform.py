"""`docs/platform.md` quotes real answers, and the code cites sections that it has."""

import re

import pytest

from support.paths import FIXTURES, ROOT

PAGE = (ROOT / "docs" / "platform.md").read_text(encoding="utf-8")
TITLES = set(re.findall(r"^##+ (.+)$", PAGE, re.MULTILINE))
CITATION = re.compile(r'docs/platform\.md((?:(?: and|,)?\s+(?:#\s+)?"[^"]+")+)')
NAMED = set(re.findall(r"`tests/fixtures/([^`\s]+\.\w+)`", PAGE))
BLOCKS = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


def cited_titles() -> list[tuple[str, str]]:
    """Each file of ours and a title that it names behind `docs/platform.md`."""
    found = []
    for package in ("batchinfer", "benchmarks", "tests"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for names in CITATION.findall(path.read_text(encoding="utf-8")):
                unwrapped = re.sub(r"\s+(?:# )?", " ", names)
                found += [
                    (str(path.relative_to(ROOT)), name)
                    for name in re.findall(r'"([^"]+)"', unwrapped)
                ]
    return found


def test_every_cited_section_exists():
    cited = cited_titles()

    assert len(cited) > 30
    assert [each for each in cited if each[1] not in TITLES] == []


def test_every_named_fixture_exists():
    assert NAMED
    assert [name for name in NAMED if not (FIXTURES / name).is_file()] == []


@pytest.mark.parametrize("block", BLOCKS)
def test_every_quotation_stands_in_a_fixture(block: str):
    literal = block.replace("^[", "\x1b").rstrip("\n")

    assert any(literal in (FIXTURES / name).read_text(encoding="utf-8") for name in NAMED)


def test_there_are_quotations():
    assert len(BLOCKS) >= 7
