"""The benchmark of merging measures a merge that is right."""

import batchinfer as bi
from benchmarks.merging import make_shards, measure


async def test_the_shards_of_the_benchmark_are_one_run(tmp_path):
    runs = await make_shards(tmp_path, 300, 4)
    seconds, cpu_seconds, peak_mb = measure("merge", *runs, "-o", tmp_path / "merged")
    keys = [result.key for result in bi.results(tmp_path / "merged")]
    assert keys == sorted(keys)
    assert len(keys) == 300
    assert bi.status(tmp_path / "merged").complete
    assert min(seconds, cpu_seconds, peak_mb) > 0
