"""The Python API against the local service: scripts, async code, notebooks."""

from pathlib import Path

import anyio
import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import ServiceProcess, start_service
from support.cli import config, images

COUNT = 60


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=4)) as local:
        yield local


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return images(tmp_path / "photos", COUNT)


@pytest.fixture
def toml(tmp_path: Path, service: ServiceProcess) -> Path:
    return config(tmp_path / "c.toml", service)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_run_results_export(mode: str, photos: Path, toml: Path, tmp_path: Path):
    summary = bi.run(photos, tmp_path / "run", config=toml, mode=mode, params={"size_hint": 3})
    assert (summary.counts.succeeded, summary.exit_code) == (COUNT, 0)
    results = list(bi.results(tmp_path / "run", "succeeded"))
    assert [result.key for result in results] == sorted(
        path.relative_to(photos).as_posix() for path in photos.rglob("*.png")
    )
    assert all(result.prediction["size_hint"] == "3" for result in results)
    assert bi.export(tmp_path / "run", tmp_path / "out.csv") == COUNT
    assert bi.status(tmp_path / "run").as_json()["succeeded"] == COUNT
    assert bi.show(tmp_path / "run", results[0].key).attempts[0].number == 1


async def test_it_works_where_a_loop_is_running(photos: Path, toml: Path, tmp_path: Path):
    summary = bi.run(photos, tmp_path / "run", config=toml)  # as in a notebook's cell
    assert summary.counts.succeeded == COUNT
    summary = await bi.arun(photos, tmp_path / "run", config=toml)
    assert summary.counts.succeeded == COUNT


async def test_a_stream_hands_out_each_result_once(photos: Path, toml: Path, tmp_path: Path):
    keys = []
    async with bi.stream(photos, tmp_path / "run", config=toml) as results:
        async for result in results:
            assert bi.show(tmp_path / "run", result.key).result == result  # it is durable
            keys.append(result.key)
    assert len(keys) == len(set(keys)) == COUNT


async def test_who_leaves_a_stream_early_can_resume(photos: Path, toml: Path, tmp_path: Path):
    async with bi.stream(photos, tmp_path / "run", config=toml, concurrency=2) as results:
        async for _ in results:
            break
    assert bi.status(tmp_path / "run").counts.finished < COUNT
    summary = await bi.arun(photos, tmp_path / "run", config=toml)
    assert summary.counts.succeeded == COUNT


async def test_an_error_inside_a_stream_comes_out_as_it_is(
    photos: Path, toml: Path, tmp_path: Path
):
    async def use() -> None:
        async with bi.stream(photos, tmp_path / "run", config=toml) as results:
            async for _ in results:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await use()
    assert bi.run(photos, tmp_path / "run", config=toml).counts.succeeded == COUNT


async def test_cancelled_it_ends_at_once_and_can_be_resumed(
    photos: Path, service: ServiceProcess, tmp_path: Path
):
    with start_service(LocalServiceOptions(threads=True, containers=2, latency=60)) as slow:
        toml = config(tmp_path / "slow.toml", slow)
        with anyio.fail_after(20), anyio.move_on_after(1) as scope:
            await bi.arun(photos, tmp_path / "run", config=toml)
        assert scope.cancelled_caught
    toml = config(tmp_path / "c.toml", service)
    summary = await bi.arun(photos, tmp_path / "run", config=toml, force=True)
    assert summary.counts.succeeded == COUNT


def test_limit_sends_so_many_and_resume_the_rest(photos: Path, toml: Path, tmp_path: Path):
    first = bi.run(photos, tmp_path / "run", config=toml, limit=7)
    assert first.counts.succeeded == 7
    rest = bi.resume(tmp_path / "run", config=toml)
    assert rest.counts.succeeded == COUNT


def test_a_changed_file_is_reported_and_taken_by_retry(photos: Path, toml: Path, tmp_path: Path):
    run = tmp_path / "run"
    bi.run(photos, run, config=toml, limit=1)
    changed = max(photos.rglob("*.png"))
    while bi.status(run).counts.total < COUNT:  # the rest is added by a go that sends nothing new
        bi.run(photos, run, config=toml, limit=1)
    changed.write_bytes(b"something else, and longer than it was before")
    summary = bi.resume(run, config=toml)
    assert summary.failures == {"file_changed": 1}
    assert bi.retry(run, code="file_changed") == 1
    assert bi.resume(run, config=toml).counts.succeeded == COUNT
    key = changed.relative_to(photos).as_posix()
    assert bi.show(run, key).result.prediction["size"] == changed.stat().st_size


def test_another_parameter_is_refused_unless_forced(photos: Path, toml: Path, tmp_path: Path):
    bi.run(photos, tmp_path / "run", config=toml, limit=1)
    with pytest.raises(bi.RunMismatch, match=r"no params\.size_hint \(you asked for 4\)"):
        bi.run(photos, tmp_path / "run", config=toml, params={"size_hint": 4})
    forced = bi.run(photos, tmp_path / "run", config=toml, params={"size_hint": 4}, force=True)
    assert forced.counts.succeeded == COUNT


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_no_secret_is_left_in_the_run_directory(
    mode: str,
    photos: Path,
    service: ServiceProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Also not one that the model echoes: the service's log repeats every parameter in clear."""
    monkeypatch.setenv("PROBE_SECRET", "a-secret-parameter-0123")
    toml = config(tmp_path / "c.toml", service)
    toml.write_text(f'{toml.read_text()}\n[params]\nsecret = "${{PROBE_SECRET}}"\n')
    bi.run(photos, tmp_path / "run", config=toml, mode=mode, limit=5)
    access = service.connection
    hidden = [access.token, access.bucket.secret_key, "a-secret-parameter-0123"]
    kept = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert any(b"***" in data for data in kept.values())
    for path, data in kept.items():
        assert not any(secret.encode() in data for secret in hidden), path


def test_a_refused_token_ends_the_run_with_what_to_do(
    photos: Path, service: ServiceProcess, tmp_path: Path
):
    wrong = config(tmp_path / "wrong.toml", service)
    token = service.connection.token
    wrong.write_text(wrong.read_text().replace(token, token[::-1]))
    with pytest.raises(bi.RunAborted, match="Dashboard") as aborted:
        bi.run(photos, tmp_path / "run", config=wrong, mode="sync")
    assert aborted.value.code == "unauthorized"
    assert token[::-1] not in str(aborted.value)
    assert not (tmp_path / "run").exists() or bi.status(tmp_path / "run").counts.failed == 0


def test_an_async_run_needs_no_token_and_a_sync_run_no_keys(
    photos: Path, service: ServiceProcess, tmp_path: Path
):
    access = service.connection
    (tmp_path / "s.toml").write_text(
        f'[service]\nendpoint = "{access.endpoint}"\ntoken = "{access.token}"\n'
    )
    assert bi.run(photos, tmp_path / "s", config=tmp_path / "s.toml").counts.succeeded == COUNT
    with pytest.raises(bi.ConfigError, match="MINIO bucket"):
        bi.run(photos, tmp_path / "a", config=tmp_path / "s.toml", mode="async")
    assert not (tmp_path / "a").exists()
