"""Write down what a real DEEPaaS answers to every case: `python tests/deepaas/capture.py VENV...`.

Each VENV is a virtual environment with a DEEPaaS and the module of this folder (`make deepaas`
makes some). Of each case, `tests/fixtures/captured/<version>/` gets `<case>.body` (sync),
`<case>.log` and, if there is one, its output (async): `<case>.json`, or what became of it,
`<case>.ORPHAN.tmp-file-*`. Everything is raw; so make the environments where nothing private shows.
"""

from __future__ import annotations

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

from batchinfer.domain import Failure, Mode
from batchinfer.local.journal import Journal
from batchinfer.local.predictor import PredictionRequest, Predictor
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.venv_runner import VenvRunner
from batchinfer.protocols.ai4os.payload import (
    FileContent,
    build_payload,
    detect_file_format,
    encode_params,
)
from support.deepaas_cases import CASES, FILES, Case
from support.paths import FIXTURES

CAPTURED = FIXTURES / "captured"
AT_A_TIME = 2


def capture(venv: Path) -> None:
    """All cases with one version."""
    version = VenvRunner(venv).versions[0]
    folder = CAPTURED / version
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    predictor = Predictor(LocalServiceOptions(deepaas_venv=str(venv)), Journal(None))

    def one(case: Case) -> None:
        body, chance = payload(case), Random(case.name)
        name = f"event-file-00000000-0000-4000-8000-{chance.randrange(10**12):012}"
        (folder / f"{case.name}.body").write_bytes(
            predictor.predict_call(PredictionRequest("sync", name, body, chance))
        )
        outputs = predictor.predict_job(
            PredictionRequest("async", f"{case.name}.json", body, chance)
        )
        for output, data in outputs.items():
            orphan = output.startswith("tmp-file-")
            (folder / (f"{case.name}.ORPHAN.{output}" if orphan else output)).write_bytes(data)

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(one, (case for case in CASES.values() if case.captured)))


def payload(case: Case) -> bytes:
    """As batchinfer sends it; a careless request as it is."""
    if case.careless:
        return json.dumps(case.params).encode()
    params = encode_params(case.params, tuple(case.files), Mode.SYNC)
    assert not isinstance(params, Failure), params
    files = [
        FileContent(param, detect_file_format(name, FILES[name]), FILES[name])
        for param, name in case.files.items()
    ]
    return build_payload(params, files)


if __name__ == "__main__":
    for path in sys.argv[1:]:
        capture(Path(path))
