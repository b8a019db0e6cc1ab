"""A stand-in for a cluster with SLURM, to run the scripts of the documentation on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

_COMMANDS = Path(__file__).with_name("slurm_commands.py")


class SlurmStandIn:
    """`sbatch`, `srun`, `scontrol` and `scancel` in a folder for PATH. A context manager."""

    def __init__(self, folder: Path) -> None:
        self.state, self.bin = folder / "state", folder / "bin"
        for each in (self.state, self.bin):
            each.mkdir(parents=True)
        for name in ("sbatch", "srun", "scontrol", "scancel"):
            command = self.bin / name
            command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{_COMMANDS}" {name} "$@"\n')
            command.chmod(0o755)
        path = [str(self.bin), str(Path(sys.executable).parent), os.environ["PATH"]]
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join(path),
            "SLURM_STAND_IN": str(self.state),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs."""
        for path in self.state.glob("*.pid"):
            (self.state / f"{path.stem}.requeue").unlink(missing_ok=True)
            self.run("scancel", path.stem)

    def run(self, *words: object, cwd: Path | None = None) -> str:
        done = subprocess.run(
            [*map(str, words)],
            cwd=cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def submit(self, *words: object, cwd: Path) -> int:
        """`sbatch`; the number of the job."""
        return int(self.run("sbatch", *words, cwd=cwd).split()[-1])

    def wait(self, tasks: int, seconds: float = 300.0) -> dict[int, dict[str, int]]:
        """Wait until so many tasks have ended for good: exit code and restarts of each."""
        deadline = time.monotonic() + seconds
        while len(done := [*self.state.glob("*.done")]) < tasks:
            assert time.monotonic() < deadline, [path.name for path in self.state.iterdir()]
            time.sleep(0.05)
        return {int(path.stem): json.loads(path.read_text()) for path in done}
