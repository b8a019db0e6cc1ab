"""Dask with a task per item, as one writes it in an afternoon: `client.map` over the files.

`python -m benchmarks.peers.dask_tasks ENDPOINT FOLDER --workers N --threads N`: each worker calls
from its threads over kept connections; nothing is stored, and answers are thrown away.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading

from benchmarks.peers.calls import HEADERS, TIMEOUT, make_body
from benchmarks.stub import BODY

_own = threading.local()


def send(endpoint: str, image: str) -> bool:
    """One call; whether it was answered as expected."""
    import requests  # noqa: PLC0415 - on the worker

    if not hasattr(_own, "session"):
        _own.session = requests.Session()
        _own.session.trust_env = False
    answer = _own.session.post(endpoint, data=make_body(image), headers=HEADERS, timeout=TIMEOUT)
    return answer.status_code == 200 and answer.content == BODY


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("endpoint")
    ask.add_argument("folder")
    ask.add_argument("--workers", type=int, default=2)
    ask.add_argument("--threads", type=int, default=32)
    given = ask.parse_args()
    from distributed import Client, LocalCluster  # noqa: PLC0415 - an extra that may be missing

    # By its name, for what stands in `__main__` is sent along with everything around it.
    from benchmarks.peers.dask_tasks import send as send_by_name  # noqa: PLC0415

    images = sorted(entry.path for entry in os.scandir(given.folder))
    with (
        LocalCluster(
            n_workers=given.workers, threads_per_worker=given.threads, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        tasks = client.map(send_by_name, [given.endpoint] * len(images), images, pure=False)
        return 0 if all(client.gather(tasks)) else 1


if __name__ == "__main__":
    sys.exit(main())
