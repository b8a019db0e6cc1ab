"""What stands in for sbatch, srun, scontrol and scancel, one file under these names.

Like SLURM: the options of the command line win over those of the script; a task has the SLURM_*
variables; `--signal=USR1@300` signals the steps (with `B:` the script) so long before the time
limit; at the limit all get SIGTERM, and SIGKILL after KillWait; `scontrol requeue` ends a job and
begins it again under its number. Unlike SLURM: one machine, no queue, and KillWait is short.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

KILL_WAIT = 10.0
STATE = Path(os.environ["SLURM_STAND_IN"])
BOOLEAN = {"requeue", "parsable"}


def parse_options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    options: dict[str, str] = {}
    words = [*words]
    while words and words[0].startswith("-"):
        name, _, value = words.pop(0).lstrip("-").partition("=")
        if not value and name not in BOOLEAN:
            value = words.pop(0)
        options[name] = value
    return options, words


def parse_time(text: str) -> float:
    """ "4", "0:08", "04:00:00": minutes, minutes and seconds, hours."""
    parts = [int(part) for part in text.split(":")]
    if len(parts) == 1:
        return parts[0] * 60.0
    hours, minutes, seconds = [0, *parts][-3:]
    return hours * 3600.0 + minutes * 60 + seconds


def next_job_number() -> int:
    number = 1000
    while True:
        number += 1
        with suppress(FileExistsError):
            (STATE / f"{number}.taken").touch(exist_ok=False)
            return number


def sbatch(words: list[str]) -> None:
    given, rest = parse_options(words)
    script = Path(rest[0]).absolute()
    options: dict[str, str] = {}
    for line in script.read_text().splitlines():
        if line.startswith("#SBATCH "):
            options |= parse_options(shlex.split(line)[1:])[0]
    options |= given
    number = next_job_number()
    spooled = STATE / f"{number}.script"  # it may change, or go, once it is submitted
    shutil.copy(script, spooled)
    first, last = (options.get("array", "0").split("-") * 2)[:2]
    for task in range(int(first), int(last) + 1):
        job = number if "array" not in options or task == int(first) else next_job_number()
        environment = {
            "SLURM_JOB_ID": str(job),
            "SLURM_SUBMIT_DIR": str(Path.cwd()),
            "SLURM_JOB_NAME": options.get("job-name", script.name),
        }
        if "array" in options:
            environment |= {
                "SLURM_ARRAY_JOB_ID": str(number),
                "SLURM_ARRAY_TASK_ID": str(task),
                "SLURM_ARRAY_TASK_COUNT": str(int(last) - int(first) + 1),
            }
        subprocess.Popen(
            [sys.executable, __file__, "supervise", str(spooled), json.dumps(options)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(STATE / f"{job}.err").open("w"),
            start_new_session=True,
        )
    said = number if "parsable" in options else f"Submitted batch job {number}"
    sys.stdout.write(f"{said}\n")


def supervise(words: list[str]) -> None:
    """One task, until it is not requeued any more."""
    script, options = words[0], json.loads(words[1])
    job = os.environ["SLURM_JOB_ID"]
    limit = parse_time(options.get("time", "24:00:00"))
    target = re.fullmatch(r"(B:)?(\w+)@(\d+)", options.get("signal", "KILL@0"))
    assert target
    restarts, code = 0, 0
    while True:
        for path in (STATE / f"{job}.requeue", *STATE.glob(f"{job}.step.*")):
            path.unlink(missing_ok=True)
        with (Path.cwd() / f"slurm-{job}.out").open("a") as out:
            process = subprocess.Popen(
                ["bash", script],
                env={**os.environ, "SLURM_RESTART_COUNT": str(restarts)},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        (STATE / f"{job}.pid").write_text(str(process.pid))
        start = time.monotonic()
        warning = start + limit - int(target[3])
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, warning - time.monotonic()))
        if process.poll() is None:
            signum = signal.Signals[f"SIG{target[2]}"]
            for pid in [process.pid] if target[1] else list_steps(job):
                with suppress(ProcessLookupError):
                    os.kill(pid, signum)
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, start + limit - time.monotonic()))
        if process.poll() is None:
            end_processes(job, process.pid)
        code = process.wait()
        if not (STATE / f"{job}.requeue").exists():
            break
        restarts += 1
    record = STATE / f"{job}.record"
    record.write_text(json.dumps({"code": code, "restarts": restarts}))
    record.rename(STATE / f"{job}.done")


def list_steps(job: str) -> list[int]:
    return [int(path.suffix[1:]) for path in STATE.glob(f"{job}.step.*")]


def end_processes(job: str, script: int) -> None:
    """As at a time limit: SIGTERM to all, then SIGKILL."""
    pids = [*list_steps(job), script]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + KILL_WAIT
    while time.monotonic() < deadline and any(map(is_alive, pids)):
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(script, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def srun(words: list[str]) -> None:
    _, command = parse_options(words)
    path = STATE / f"{os.environ['SLURM_JOB_ID']}.step.{os.getpid()}"
    path.touch()
    os.execvp(command[0], command)


def scontrol(words: list[str]) -> None:
    assert words[0] == "requeue"
    (STATE / f"{words[1]}.requeue").touch()
    end_processes(words[1], int((STATE / f"{words[1]}.pid").read_text()))


def scancel(words: list[str]) -> None:
    for job in words:
        with suppress(OSError):
            end_processes(job, int((STATE / f"{job}.pid").read_text()))


if __name__ == "__main__":
    name = Path(sys.argv[0]).name
    words = sys.argv[1:]
    if name not in {"sbatch", "srun", "scontrol", "scancel"}:
        name, *words = words
    globals()[name](words)
