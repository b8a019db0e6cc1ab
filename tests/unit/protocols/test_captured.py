"""Every answer captured from the real DEEPaaS is read as what the module did: none misread.

The expectations are those of the table of cases (`deepaas_cases.py`), written by hand; the answers
were written down by `tests/deepaas/capture.py`.
"""

import pytest

from batchinfer.domain import Failure, FailureKind
from batchinfer.protocols.ai4os.reply_parser import (
    SavedOutput,
    extract_orphan_name,
    killed_log_failure,
    parse_body,
    parse_log,
    parse_output,
)
from support.deepaas_cases import ALL, ASYNC, CASES, SYNC, Fails, agrees
from support.paths import FIXTURES

CAPTURED = FIXTURES / "captured"
TABLE = [
    pytest.param(version, case, id=f"{version}-{case.name}")
    for version in ALL
    for case in CASES.values()
    if case.captured
]
TRANSIENT = {"model_killed"}


def reads(outcome, expected):
    """It agrees, and a failure's kind is right as well."""
    agrees(outcome, expected)
    if isinstance(outcome, Failure):
        assert outcome.kind is (
            FailureKind.TRANSIENT if outcome.code in TRANSIENT else FailureKind.PERMANENT
        )


def outputs(version, case):
    """What a case left in the bucket besides its log."""
    folder = CAPTURED / version
    found = [folder / f"{case.name}.json", *folder.glob(f"{case.name}.ORPHAN.tmp-file-*")]
    return [path for path in found if path.exists()]


@pytest.mark.parametrize(("version", "case"), TABLE)
def test_a_sync_answer_is_read_as_what_the_module_did(version, case):
    body = (CAPTURED / version / f"{case.name}.body").read_bytes()

    reads(parse_body(body), case.expected(SYNC, version))


@pytest.mark.parametrize(("version", "case"), TABLE)
def test_an_async_pair_is_read_as_what_the_module_did(version, case):
    expected = case.expected(ASYNC, version)
    log = (CAPTURED / version / f"{case.name}.log").read_bytes()
    told, found = parse_log(log), outputs(version, case)
    match expected:
        case Fails("output_lost"):
            assert isinstance(told, SavedOutput)
            assert found == []
        case Fails("model_killed"):
            assert told is None
            assert found == []
            reads(killed_log_failure(log), expected)
        case Fails():
            reads(told, expected)
        case _:
            assert isinstance(told, SavedOutput), told
            (output,) = found
            assert told.is_orphan == (version == "2.6.0")
            if told.is_orphan:
                assert output.name == f"{case.name}.ORPHAN.{extract_orphan_name(told.path)}"
            reads(parse_output(output.read_bytes(), log.decode()), expected)


def test_what_was_captured_is_whole_and_enough():
    names = {version: {path.name for path in (CAPTURED / version).iterdir()} for version in ALL}
    cases = {case.name for case in CASES.values() if case.captured}

    for found in names.values():
        assert {name.partition(".")[0] for name in found} == cases
    assert 2 * len(TABLE) >= 150
