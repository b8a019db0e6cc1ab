"""`docs/reference/run-format.md` on `batchinfer query`: its views, columns and examples."""

import hashlib
import re
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner

from batchinfer.api import list_views
from batchinfer.cli.query_command import query
from batchinfer.domain import SentFile
from batchinfer.store.sqlite import SqliteStore
from support.paths import ROOT
from support.records import INFO, failed, failure, item, reply, submitted

PAGE = (ROOT / "docs" / "reference" / "run-format.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Views of `batchinfer query`")[2].partition("\n## ")[0]
EXAMPLES = re.findall(r'(?m)^\$ batchinfer query my-run "(.*)"\n((?:(?!```).*\n)*)', SECTION)
KEPT = {"results", "failures", "submitted"}
"""Described above, as views of the database itself."""


def documented() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for view, cell in re.findall(r"(?m)^\| `(\w+)` \| ([^|]*) \|", SECTION):
        found.setdefault(view, []).extend(re.findall(r"`(\w+)`", cell))
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Six photographs: three that were looked at, one that failed, one under way, one to come."""
    run = tmp_path_factory.mktemp("docs") / "my-run"

    def found(label: str, score: float) -> dict[str, object]:
        return {"name": label, "confidence": score, "box": [10, 20, 110, 220]}

    def sent(word: str, size: int) -> dict[str, object]:
        digest = hashlib.sha256(word.encode()).hexdigest()
        return {"inputs": (SentFile("files", size, digest),)}

    async def made() -> None:
        async with SqliteStore.create(run, INFO) as store:
            await store.add([item(f"cats/{number}.jpg") for number in range(1, 7)])
            both = [found("cat", 0.9), found("dog", 0.625), found("cat", 0.5)]
            await store.commit_records(
                [
                    reply(
                        1, prediction=both, seconds=2, server_seconds=0.75, **sent("test", 41208)
                    ),
                    failure(2, 1, code="http_503"),
                    reply(
                        *(2, 2),
                        prediction=[found("cat", 0.75)],
                        seconds=1.5,
                        server_seconds=1.0,
                        **sent("test2", 38977),
                    ),
                    reply(3, prediction=[], **sent("test3", 40110)),
                    failed(4, seconds=7.5),
                    submitted(5),
                ]
            )

    anyio.run(made)
    return run


def test_every_view_and_column_is_described_and_no_other(run):
    own = {name: sorted(columns) for name, columns in list_views(run).items() if name not in KEPT}

    assert {name: sorted(columns) for name, columns in documented().items()} == own
    assert list_views(run).keys() - own.keys() == KEPT
    assert all(f"### `{name}`" in PAGE for name in KEPT)


@pytest.mark.parametrize(("question", "answer"), EXAMPLES)
def test_every_example_runs(run, question, answer):
    assert not re.search(r"[$`]", question), "the shell would read that"
    done = CliRunner().invoke(query, [str(run), question, "--format", "table"])

    assert done.exception is None
    assert done.stdout == answer


def test_there_are_examples():
    assert len(EXAMPLES) == 5
