"""batchinfer, the local service, the real DEEPaaS: what comes out is what the module did.

For each version and mode all cases are two runs: the right requests, checked against the module's
own help before they are sent; and those with a mistake, sent all the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer import api
from batchinfer.api.sync_runner import run_blocking
from batchinfer.domain import Failure, Outcome, Reply, Result
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.deepaas_cases import ASYNC, CASES, FILES, SYNC, Case, Data, agrees
from support.paths import ROOT

VERSIONS = ("2.5.2", "2.6.0")
VENVS = {version: ROOT / f".venv-deepaas-{version}" for version in VERSIONS}
INSTALLED = [version for version, venv in VENVS.items() if (venv / ".stamp").exists()]
RIGHT = {name: case for name, case in CASES.items() if not case.careless}
WRONG = {name: case for name, case in CASES.items() if case.careless and not case.raw}
NOT_NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


@dataclass(frozen=True)
class Real:
    """What one version answered in one mode."""

    version: str
    mode: str
    answers: Mapping[str, Result]
    run: Path
    bucket: Path
    refused: str
    """What was said to the mistakes before they were sent all the same."""


@pytest.fixture(scope="module", params=[(v, m) for v in INSTALLED for m in (SYNC, ASYNC)],
                ids="-".join)  # fmt: skip
def real(request, tmp_path_factory) -> Real:
    version, mode = request.param
    folder = tmp_path_factory.mktemp("real")
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    options = LocalServiceOptions(deepaas_venv=str(VENVS[version]), data=str(folder / "data"))
    with start_service(options) as service:
        config = folder / "batchinfer.toml"
        config.write_text(service.connection.to_toml() + f'[run]\nmode = "{mode}"\n'
                          'max_attempts = 1\ntimeout = "5m"\n')  # fmt: skip
        bi.run(manifest(folder / "right.jsonl", RIGHT), folder / "right", config=config)
        wrong = manifest(folder / "wrong.jsonl", WRONG)
        with pytest.raises(bi.SourceError) as refused:
            bi.run(wrong, folder / "wrong", config=config)
        job = api.Job(run=folder / "wrong", sources=(str(wrong),), config=config, validate=False)
        run_blocking(lambda: api.run_job(job))
    answers = {each.key: each for run in ("right", "wrong") for each in bi.results(folder / run)}
    bucket = folder / "data" / "local"
    return Real(version, mode, answers, folder / "right", bucket, str(refused.value))


def manifest(path: Path, cases: Mapping[str, Case]) -> Path:
    lines = [
        {"key": name, "params": case.params, "files": dict(case.files)}
        for name, case in cases.items()
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def outcome(result: Result, run: Path) -> Outcome:
    """A row of the results as the outcome it was."""
    if result.state is bi.State.FAILED:
        return Failure(str(result.code), str(result.message))
    assert result.state is bi.State.SUCCEEDED
    if str(result.media_type).startswith("image/"):
        return Reply(str(result.media_type), data=(run / str(result.prediction)).read_bytes())
    return Reply(str(result.media_type), result.prediction)


def stored(value: object) -> object:
    """Not-a-numbers as a run keeps them."""
    match value:
        case dict():
            return {key: stored(each) for key, each in value.items()}
        case list():
            return [stored(each) for each in value]
        case float():
            return NOT_NUMBERS.get(str(value), value)
    return value


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_the_real_deepaas_that_is_tested(version: str):
    why = f"DEEPaaS {version} is not installed (make deepaas): nothing of it was tested"
    if version not in INSTALLED and os.environ.get("CI") != "true":
        pytest.skip(why)
    assert version in INSTALLED, why


@pytest.mark.parametrize("name", [*RIGHT, *WRONG])
def test_what_comes_out_is_what_the_module_did(real: Real, name: str):
    expected = CASES[name].expected(real.mode, real.version)
    if isinstance(expected, Data):
        expected = Data(stored(expected.value))

    agrees(outcome(real.answers[name], real.run), expected)


def test_every_case_has_an_answer_and_there_are_enough(real: Real):
    assert set(real.answers) == {*RIGHT, *WRONG}
    assert len(real.answers) >= 25


def test_every_mistake_is_seen_by_the_module_s_own_help_before_anything_is_sent(real: Real):
    fine = [name for number, name in enumerate(WRONG, 1)
            if f"wrong.jsonl:{number}:" not in real.refused]  # fmt: skip

    assert "nothing was sent" in real.refused
    assert fine == ["echo_abbreviated"]  # which is told as a notice


def test_every_orphan_was_taken(real: Real):
    left = [path.name for path in (real.bucket / "outputs").glob("tmp-file-*")]

    assert left == []
