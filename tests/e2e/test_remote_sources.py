"""`s3://`, `bucket://` and `https://` as sources, through the whole command line.

The store is a real one (rclone), the service is the local one.
"""

import asyncio
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import anyio
import pytest
from anyio import to_thread

import batchinfer as bi
from batchinfer.backends.s3 import open_s3_bucket
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support import local_bucket
from support.cli import batchinfer, clean_environment, config, images, png, start, until
from support.remote_stores import RemoteStore, StubStore, open_store, source_section
from support.servers import Answer, Request, stub

COUNT = 24
MODES = ["sync", "async"]


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=2, latency=0.1)) as local:
        yield local


@pytest.fixture
def store(tmp_path) -> Iterator[RemoteStore]:
    images(tmp_path / "store" / "pictures" / "may", COUNT)
    with open_store(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def env(tmp_path, store) -> dict[str, str]:
    keys = {"STORE_ACCESS_KEY": store.access_key, "STORE_SECRET_KEY": store.secret_key}
    return clean_environment(**keys, HOME=str(tmp_path))


@pytest.fixture
def toml(tmp_path, service, store) -> Path:
    return write_config(tmp_path / "c.toml", service, store)


def write_config(path: Path, service, store: RemoteStore, run: str = "", **source: str) -> Path:
    config(path, service, run)
    with path.open("a") as file:
        file.write(source_section(store, **source))
    return path


def do(env, *args, code=0) -> str:
    done = batchinfer(*args, code=code, env=env)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    for secret in ("STORE_ACCESS_KEY", "STORE_SECRET_KEY"):
        assert secret not in env or env[secret] not in said
    return said


def rows(run: Path) -> dict[str, dict[str, object]]:
    return {row["key"]: row for row in bi.query(run, "select * from results")}


def assert_no_secret_is_kept(folder: Path, store: RemoteStore) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert store.secret_key.encode() not in data, path
            assert store.access_key.encode() not in data, path


@pytest.mark.parametrize("mode", MODES)
def test_a_run_is_killed_continued_and_exported(mode, service, env, store, tmp_path):
    run = tmp_path / "run"
    toml = write_config(
        tmp_path / "c.toml", service, store, f'mode = "{mode}"\nconcurrency = 2', by_name="yes"
    )
    process = start("run", "s3://pictures/may", "-c", toml, "-o", run, env=env)
    until(run, lambda counts: counts.succeeded >= 4, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    done_before = {key: row for key, row in rows(run).items() if row["state"] == "succeeded"}
    assert 4 <= len(done_before) < COUNT

    do(env, "resume", run)
    found = rows(run)
    assert len(found) == COUNT
    for key, row in found.items():
        data = (store.root / "pictures" / "may" / key).read_bytes()
        assert row["path"] == f"s3://pictures/may/{key}"
        assert json.loads(row["prediction"])["sha256"] == sha256(data).hexdigest()
    for key, row in done_before.items():
        assert (found[key]["attempts"], found[key]["finished_at"]) == (
            row["attempts"],
            row["finished_at"],
        )

    do(env, "export", run, "-o", tmp_path / "x.csv")
    assert "s3://pictures/may/site-0/img 0000.png" in (tmp_path / "x.csv").read_text()
    for kind in ("coco", "yolo", "ro-crate"):
        said = do(env, "export", run, "-o", tmp_path / kind, "--format", kind)
        assert "no readable image" not in said
    do(env, "report", run, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/webp;base64,") == COUNT
    assert_no_secret_is_kept(run, store)
    assert_no_secret_is_kept(tmp_path / "ro-crate", store)


def test_secrets_written_into_a_config_are_taken_from_it_again(service, env, store, tmp_path):
    run = tmp_path / "run"
    toml = write_config(tmp_path / "c.toml", service, store)
    bare = {name: value for name, value in env.items() if not name.startswith("STORE_")}
    do(bare, "run", "s3://pictures/may", "-c", toml, "-o", run, "--limit", 1, "-q")
    do(bare, "resume", run, "--limit", 1)
    do(bare, "report", run, "-o", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count("data:image/webp;base64,") == COUNT
    toml.unlink()
    assert "[source] access_key, secret_key stood in the config" in do(bare, "resume", run, code=2)
    assert_no_secret_is_kept(run, store)


def test_a_preview_counts_and_selects_without_sending(env, toml, store, tmp_path):
    (store.root / "pictures" / "may" / "Thumbs.db").write_bytes(b"x")
    dry = ("run", "s3://pictures/may/", "-c", toml, "-o", tmp_path / "run", "--dry-run")
    said = json.loads(do(env, *dry, "--json", "--exclude", "site-1/", "--include", "*0.PNG"))
    assert (said["items"], said["key"]) == (6, "site-0/img 0000.png")
    assert said["skipped"] == {"Thumbs.db": 1, ".png": 14, "site-1/": 4}
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("s3://pictures/june", "the source s3://pictures/june is not there"),
        ("s3://pictures/may/*.png", "choose with --include"),
        ("s3://nothing/may", "there is no bucket 'nothing'"),
        ("s3://", "it names no bucket"),
        ("bucket://nothing/x", "there is no bucket 'nothing'"),
        ("https://127.0.0.1:9/a.jpg", "cannot be read"),
        ("https://me:pw@example.org/a.jpg", "must not hold a password"),
        ("https://example.org/a.jpg?X-Amz-Signature=0abc", "must not hold a key"),
        ("https://example.org/list.csv", "looks like a list"),
        ("s3://pictures/list.jsonl.gz", "looks like a list"),
    ],
)
def test_what_cannot_be_read_is_said_before_anything_is_sent(uri, says, env, toml, tmp_path):
    said = do(env, "run", uri, "-c", toml, "-o", tmp_path / "run", code=2)
    assert says in said
    assert "0abc" not in said
    assert ":pw@" not in said
    assert not (tmp_path / "run").exists()


def test_refused_keys_are_said_before_anything_is_sent_and_end_a_run_resumable(
    env, service, store, tmp_path
):
    run = tmp_path / "run"
    toml = write_config(tmp_path / "c.toml", service, store, by_name="yes")
    do(env, "run", "s3://pictures/may", "-c", toml, "-o", run, "--limit", 2, "-q")
    wrong = {**env, "STORE_SECRET_KEY": "other0123456789"}
    said = do(wrong, "run", "s3://pictures/may", "-c", toml, "-o", tmp_path / "new", code=2)
    assert "refuses the keys (SignatureDoesNotMatch): check [source]" in said
    assert "source_unavailable" in do(wrong, "resume", run, "--json", code=3)
    without = {name: value for name, value in env.items() if name != "STORE_SECRET_KEY"}
    assert "STORE_SECRET_KEY, which is not set" in do(without, "resume", run, code=3)
    assert bi.status(run).counts.failed == 0
    do(env, "resume", run)
    assert bi.status(run).counts.succeeded == COUNT


def test_what_vanished_changed_or_is_empty_fails_alone(env, toml, store, tmp_path):
    run, folder = tmp_path / "run", store.root / "pictures" / "may"
    (folder / "site-6" / "zz.png").write_bytes(b"")
    do(env, "run", "s3://pictures/may", "-c", toml, "-o", run, "--limit", 1, "-q")
    until_read = do(env, "resume", run, "--limit", 1)  # the whole listing is on record now
    assert "Traceback" not in until_read
    changed, gone = folder / "site-6" / "img 0002.png", folder / "site-5" / "img 0002.png"
    changed.write_bytes(changed.read_bytes()[:-1] + b"x")  # as large as before
    gone.rename(tmp_path / "kept.png")
    do(env, "resume", run, code=1)
    codes = {key: row["code"] for key, row in rows(run).items() if row["code"]}
    assert codes == {
        "site-5/img 0002.png": "file_missing",
        "site-6/img 0002.png": "file_changed",
        "site-6/zz.png": "file_empty",
    }
    (tmp_path / "kept.png").rename(gone)
    do(env, "retry", run)
    do(env, "resume", run, code=1)
    assert {key for key, row in rows(run).items() if row["code"]} == {"site-6/zz.png"}


def test_a_store_that_goes_away_fails_no_item(env, service, store, tmp_path):
    run = tmp_path / "run"
    toml = write_config(tmp_path / "c.toml", service, store, 'give_up_after = "1s"', by_name="yes")
    do(env, "run", "s3://pictures/may", "-c", toml, "-o", run, "--limit", 2, "-q")
    store.stop()
    assert "source_unavailable" in do(env, "resume", run, "--json", code=3)
    assert bi.status(run).counts.failed == 0
    store.start()
    do(env, "resume", run)
    assert bi.status(run).counts.succeeded == COUNT


def test_a_run_moves_between_a_folder_and_a_bucket(env, toml, store, tmp_path):
    run, copy = tmp_path / "run", tmp_path / "copy"
    shutil.copytree(store.root / "pictures" / "may", copy)
    do(env, "run", str(copy), "-c", toml, "-o", run, "--limit", 2, "-q")
    do(env, "resume", run, "--source", "s3://pictures/may", "--limit", 2)
    do(env, "resume", run)
    assert {row["path"].partition("://")[0] for row in rows(run).values()} == {"s3"}
    assert bi.status(run).counts.succeeded == COUNT


def test_the_platforms_own_store_is_read_with_the_keys_of_bucket(service, tmp_path):
    run, photos = tmp_path / "run", images(tmp_path / "photos", 3)
    toml = config(tmp_path / "c.toml", service)
    bucket = service.connection.bucket
    mine = {"MINE_KEY": bucket.access_key, "MINE_SECRET": bucket.secret_key}
    put_objects(service, {f"mine/{p.name}": p.read_bytes() for p in photos.rglob("*.png")})
    text = toml.read_text()
    assert "[bucket]" in text
    env = clean_environment(**mine, HOME=str(tmp_path))
    do(env, "run", f"bucket://{bucket.name}/mine", "-c", toml, "-o", run, "-q")
    assert {row["state"] for row in rows(run).values()} == {"succeeded"}
    said = do(env, "run", "bucket:///mine", "-c", toml, "-o", tmp_path / "other")
    assert "succeeded" in said


def put_objects(service, objects: dict[str, bytes]) -> None:
    async def put() -> None:
        async with open_s3_bucket(**local_bucket.access(service)) as bucket:
            for key, data in objects.items():
                await bucket.put(key, data)

    anyio.run(put)


def test_two_runs_of_one_process_have_each_their_own_store(service, tmp_path):
    folders = {name: images(tmp_path / name / "pictures", 3) for name in ("one", "other")}
    extra = folders["other"] / "only-here.png"
    extra.write_bytes((folders["other"] / "site-0" / "img 0000.png").read_bytes())

    async def both(stores: dict[str, RemoteStore]) -> None:
        async def one(name: str) -> None:
            toml = write_config(tmp_path / f"{name}.toml", service, stores[name])
            await bi.arun("s3://pictures", tmp_path / f"run-{name}", config=toml)

        await asyncio.gather(*map(one, stores))

    with open_store(tmp_path / "one") as one, open_store(tmp_path / "other", "b" * 20) as other:
        anyio.run(both, {"one": one, "other": other})
    assert len(rows(tmp_path / "run-one")) == 3
    assert "only-here.png" in rows(tmp_path / "run-other")
    for name in folders:
        assert {row["state"] for row in rows(tmp_path / f"run-{name}").values()} == {"succeeded"}


def test_files_of_a_web_server_in_a_manifest_survive_a_kill(service, tmp_path):
    run, listed = tmp_path / "run", tmp_path / "list.csv"
    pictures = images(tmp_path / "site", COUNT)
    paths = sorted(pictures.rglob("*.png"))
    toml = config(tmp_path / "c.toml", service, "concurrency = 2")
    env = clean_environment(HOME=str(tmp_path))
    with serve_folder(pictures) as origin:
        urls = [f"{origin}/{quote(path.relative_to(pictures).as_posix())}" for path in paths]
        listed.write_text("path\n" + "".join(f"{url}\n" for url in urls))
        process = start("run", listed, "-c", toml, "-o", run, env=env)
        until(run, lambda counts: counts.succeeded >= 4, process)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        changed, gone = paths[-1], paths[-2]
        os.utime(changed, (1_000_000_000, 1_000_000_000))
        gone.unlink()
        do(env, "resume", run, code=1)
        found = rows(run)
        codes = {row["path"]: row["code"] for row in found.values() if row["code"]}
        assert codes == {urls[-1]: "file_changed", urls[-2]: "file_missing"}
        assert bi.status(run).counts.succeeded == COUNT - 2
        do(env, "report", run, "-o", tmp_path / "report.html")
        assert (tmp_path / "report.html").read_text().count("data:image/webp;base64,") == COUNT - 1
        do(env, "run", urls[0], "-c", toml, "-o", tmp_path / "single", "-q")
        assert set(rows(tmp_path / "single")) == {paths[0].name}

    listed.write_text(f"path\n{urls[0]}?token=abcdefgh\n")
    said = do(env, "run", listed, "-c", toml, "-o", tmp_path / "secret", code=2)
    assert "holds a key (token=...)" in said
    assert "abcdefgh" not in said
    do(env, "retry", run)
    said = do(env, "resume", run, "--json", code=3)  # the server is gone, and no item is at fault
    assert "source_unavailable" in said


async def test_a_run_that_is_killed_while_its_bucket_is_listed_goes_on(service, tmp_path):
    run, listings = tmp_path / "run", list[str]()
    store = StubStore({f"p/{number}.png": png(number) for number in range(150)}, page_size=60)
    hangs = True

    def answer(request: Request) -> Answer:
        if "list-type" in request.target and "max-keys" not in request.target:
            listings.append(request.target)
            if hangs and len(listings) == 2:
                time.sleep(1.1)  # more than is read in advance: what is there is sent
            elif hangs and len(listings) == 3:
                return Answer(never=True)
        return store.answer(request)

    async with stub(answer) as server:
        toml = config(tmp_path / "c.toml", service)
        with toml.open("a") as file:
            file.write(f'[source]\nendpoint = "http://127.0.0.1:{server.port}"\n')
            file.write('access_key = "${STORE_ACCESS_KEY}"\nsecret_key = "${STORE_SECRET_KEY}"\n')
        keys = {"STORE_ACCESS_KEY": "reader0123456789", "STORE_SECRET_KEY": "secret/0123456789"}
        env = clean_environment(**keys, HOME=str(tmp_path))
        process = start("run", "s3://b/p", "-c", toml, "-o", run, env=env)
        await to_thread.run_sync(until, run, lambda counts: counts.succeeded >= 2, process)
        process.send_signal(signal.SIGKILL)
        await to_thread.run_sync(process.communicate)
        before = {key for key, row in rows(run).items() if row["state"] == "succeeded"}
        assert len(before) >= 2
        assert len(rows(run)) < 150
        hangs = False
        await to_thread.run_sync(do, env, "resume", run)
    assert {row["state"] for row in rows(run).values()} == {"succeeded"}
    assert sorted(rows(run)) == sorted(f"{number}.png" for number in range(150))
    fetched = [r.target for r in server.requests if r.target.startswith("/b/p/")]
    assert all(fetched.count(f"/b/p/{key}") == 1 for key in before)


def test_check_asks_the_store_of_the_source(env, service, store, tmp_path):
    toml = write_config(tmp_path / "c.toml", service, store, by_name="yes")
    assert "source    the store answers, and knows the keys" in do(env, "check", "-c", toml)
    wrong = {**env, "STORE_SECRET_KEY": "other0123456789"}
    said = do(wrong, "check", "-c", toml, code=1)
    assert "source    the store at 127.0.0.1" in said
    assert "refuses the keys" in said
    without = {name: value for name, value in env.items() if name != "STORE_SECRET_KEY"}
    assert "STORE_SECRET_KEY, which is not set" in do(without, "check", "-c", toml, code=1)


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """A web server as everybody has one."""
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass
