"""The scripts of docs/how-to/slurm, on a stand-in for a cluster."""

import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, images
from support.paths import ROOT
from support.slurm import SlurmStandIn

DOCS = ROOT / "docs"
SCRIPTS = DOCS / "how-to" / "slurm"
COUNT = 60


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=4, latency=1.0)) as running:
        yield running


@pytest.fixture
def desk(service, tmp_path):
    """A folder on the cluster, with everything that the scripts name."""
    images(tmp_path / "photos", COUNT)
    connection = service.connection.to_toml()
    (tmp_path / "batchinfer.toml").write_text(f"{connection}\n[run]\nconcurrency = 4\n")
    for path in SCRIPTS.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.fixture
def slurm(desk, monkeypatch):
    (desk / "node").mkdir()
    monkeypatch.setenv("TMPDIR", str(desk / "node"))
    with SlurmStandIn(desk / "slurm") as cluster:
        yield cluster


def output(desk: Path) -> str:
    return "\n".join(path.read_text() for path in desk.glob("slurm-*.out"))


def test_the_page_shows_the_scripts_as_they_are():
    page = (DOCS / "how-to" / "slurm.md").read_text()
    for path in SCRIPTS.iterdir():
        assert f"\n{path.read_text()}```\n" in page, path.name


def test_a_job_whose_time_is_up_goes_on_in_its_next_one(desk, slurm):
    # 60 items of a second, 4 at a time, take 15 s and more; the signal comes after 15 s.
    job = slurm.submit("--time=0:40", "--signal=USR1@25", "job.sbatch", cwd=desk)
    record = slurm.wait(1)[job]
    assert record["code"] == 0, output(desk)
    assert record["restarts"] >= 1
    assert "Stopping" in output(desk)
    assert bi.status(desk / "my-run").counts.succeeded == COUNT
    assert [*(desk / "node").iterdir()] == []


def test_a_job_that_is_killed_loses_what_was_not_copied_back_and_goes_on(desk, slurm):
    # No warning, and a time limit in the middle: SIGTERM, with nothing after it but SIGKILL.
    job = slurm.submit("--time=0:08", "--signal=USR1@0", "job.sbatch", cwd=desk)
    slurm.wait(1)
    assert not (desk / "slurm" / "state" / f"{job}.requeue").exists()
    counts = bi.status(desk / "my-run").counts
    assert counts.failed == 0
    slurm.submit("job.sbatch", cwd=desk)
    slurm.wait(2)
    assert bi.status(desk / "my-run").counts.succeeded == COUNT


def test_an_array_of_shards_becomes_one_run(desk, slurm):
    script = (desk / "array.sbatch").read_text().replace("16", "3")
    (desk / "array.sbatch").write_text(script)
    slurm.submit("array.sbatch", cwd=desk)
    records = slurm.wait(3)
    assert {record["code"] for record in records.values()} == {0}, output(desk)
    shards = [desk / "shards" / str(number) for number in (1, 2, 3)]
    assert sum(bi.status(shard).counts.succeeded for shard in shards) == COUNT
    batchinfer("merge", *shards, "-o", desk / "my-run")
    assert bi.status(desk / "my-run").counts.succeeded == COUNT


def test_workers_that_are_jobs_make_the_calls(desk, slurm):
    slurm.run("python", "dask_run.py", cwd=desk)
    assert bi.status(desk / "my-run").counts.succeeded == COUNT
    assert output(desk)  # of the jobs


def test_the_commands_of_the_kubernetes_page_do_what_it_says(desk):
    page = (DOCS / "how-to" / "kubernetes.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    job, shard = map(yaml.safe_load, blocks)
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    words = [word.replace("/scratch", str(desk / "node")) for word in container["command"]]
    grace = next(word for before, word in pairwise(words) if before == "--grace")
    assert spec["terminationGracePeriodSeconds"] > float(grace.removesuffix("s"))
    done = batchinfer(*words[1:], "--stop-after", "10ms", cwd=desk, code=130)
    codes = [rule.get("onExitCodes", {}).get("values") for rule in policy_rules(job)]
    assert codes == [[130], None, [1, 2, 3]]
    assert "resume" in done.stderr
    assert shard["command"][-1].startswith("exec batchinfer run photos --shard $((JOB_")


def policy_rules(job):
    return job["spec"]["podFailurePolicy"]["rules"]
