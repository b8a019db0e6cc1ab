"""A run whose calls are made by jobs of SLURM: start it where sbatch can be called."""

import tempfile

from dask_jobqueue import SLURMCluster
from distributed import Client

import batchinfer as bi

if __name__ == "__main__":
    with (
        SLURMCluster(cores=1, processes=1, memory="1GB", walltime="04:00:00") as cluster,
        Client(cluster) as client,
    ):
        cluster.scale(jobs=2)
        run = bi.run(
            "photos",
            "my-run",
            config="batchinfer.toml",
            scratch=tempfile.gettempdir(),
            client=client,
            progress=True,
        )
    raise SystemExit(run.exit_code)
