"""Files in archives, by the command line: killed, continued, moved, damaged, replaced."""

import json
import signal
import struct
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.archives import pack_tar, pack_zip, write_zip
from support.cli import batchinfer, config, images, start, until

COUNT = 24


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=2, latency=0.1)) as local:
        yield local


@pytest.fixture
def photos(tmp_path) -> Path:
    return images(tmp_path / "photos", COUNT)


def do(*args, code=0, **options) -> str:
    done = batchinfer(*args, code=code, **options)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def rows(run: Path) -> dict[str, dict[str, object]]:
    return {row["key"]: row for row in bi.query(run, "select * from results")}


def files(photos: Path) -> list[str]:
    return sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))


@pytest.mark.parametrize(
    ("name", "mode"), [("photos.zip", "sync"), ("photos.zip", "async"), ("photos.tar.gz", "sync")]
)
def test_a_run_is_killed_continued_and_exported(name, mode, service, photos, tmp_path):
    run, archive = tmp_path / "run", tmp_path / name
    (pack_zip if name.endswith("zip") else pack_tar)(archive, photos, files(photos))
    toml = config(tmp_path / "c.toml", service, f'mode = "{mode}"\nconcurrency = 2')
    process = start("run", name, "-c", toml, "-o", run, cwd=tmp_path)
    until(run, lambda counts: counts.succeeded >= 4, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert 4 <= bi.status(run).counts.succeeded < COUNT

    do("resume", run)
    found = rows(run)
    assert set(found) == {f"{name}!{each}" for each in files(photos)}
    for key, row in found.items():
        data = (photos / key.partition("!")[2]).read_bytes()
        assert row["path"] == f"archive://{archive}!{key.partition('!')[2]}"
        assert json.loads(row["prediction"])["sha256"] == sha256(data).hexdigest()
    assert "Nothing was sent" in do("run", name, "-c", toml, "-o", run, cwd=tmp_path)

    do("report", run, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/webp;base64,") == COUNT
    for kind in ("csv", "coco", "yolo", "ro-crate"):
        do("export", run, "-o", tmp_path / kind, "--format", kind)
    crate = json.loads((tmp_path / "ro-crate" / "ro-crate-metadata.json").read_text())
    known = {each.get("sha256") for each in crate["@graph"]}
    data = (photos / files(photos)[0]).read_bytes()
    assert sha256(data).hexdigest() in known


def test_it_is_selected_looked_at_sharded_and_moved_like_a_folder(service, photos, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    archive = pack_zip(tmp_path / "photos.zip", photos, files(photos))
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr("__MACOSX/._a.png", b"x")
        more.writestr("site-1/Thumbs.db", b"x")
        more.writestr("../up.png", b"x")
    dry = ("run", archive, "-c", toml, "-o", run, "--dry-run", "--json")
    said = json.loads(do(*dry, "--exclude", "site-1/", "--include", "*0.PNG").splitlines()[-1])
    assert (said["items"], said["key"]) == (6, "photos.zip!site-0/img 0000.png")
    assert said["skipped"]["name that leads out of the archive"] == 1
    parts = [json.loads(do(*dry, "--shard", f"{n}/2").splitlines()[-1])["items"] for n in (1, 2)]
    assert sum(parts) == COUNT
    assert min(parts) > 0

    do("run", archive, "-c", toml, "-o", run, "--limit", 2, "-q")
    other = write_zip(tmp_path / "other.zip", {"a.png": b"x"})
    assert "was made from archive:" in do("run", other, "-o", run, code=3)
    assert "made from the archive photos.zip" in do("resume", run, "--source", other, code=2)
    (tmp_path / "new").mkdir()
    archive.rename(tmp_path / "new" / "photos.zip")
    do("resume", run, "--source", tmp_path / "new" / "photos.zip")
    found = rows(run)
    assert len(found) == COUNT
    assert {row["state"] for row in found.values()} == {"succeeded"}
    assert all(f"archive://{tmp_path}/new/photos.zip!" in row["path"] for row in found.values())


def test_an_archive_that_is_away_fails_nobody(service, photos, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    archive = pack_zip(tmp_path / "photos.zip", photos, files(photos))
    do("run", archive, "-c", toml, "-o", run, "--limit", 2, "-q")
    archive.rename(tmp_path / "kept.zip")
    said = do("resume", run, "--json", code=3)
    assert "source_unavailable" in said
    assert "photos.zip is not there" in said
    archive.write_bytes((tmp_path / "kept.zip").read_bytes()[:500])  # it is being copied back
    assert "source_unavailable" in do("resume", run, "--json", code=3)
    (tmp_path / "kept.zip").replace(archive)
    do("resume", run)
    assert bi.status(run).counts.succeeded == COUNT

    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"photos.zip!{name}\n" for name in files(photos)))
    run = tmp_path / "of-a-list"
    do("run", "--files-from", listed, "-c", toml, "-o", run, "--limit", 2, "-q")
    archive.rename(tmp_path / "kept.zip")
    assert "photos.zip is not there" in do("resume", run, "--json", code=3)
    (tmp_path / "kept.zip").replace(archive)
    do("resume", run)
    assert bi.status(run).counts.succeeded == COUNT


def test_an_archive_that_was_replaced_meanwhile_fails_what_changed(service, photos, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    names = files(photos)[:6]
    archive = pack_zip(tmp_path / "photos.zip", photos, names)
    do("run", archive, "-c", toml, "-o", run, "--limit", 1, "-q")
    changed = photos / names[4]
    changed.write_bytes(changed.read_bytes()[:-1] + b"x")  # as large as before
    pack_zip(archive, photos, names[:5])
    do("resume", run, code=1)
    codes = {key: row["code"] for key, row in rows(run).items() if row["code"]}
    assert codes == {
        f"photos.zip!{names[4]}": "file_changed",
        f"photos.zip!{names[5]}": "file_missing",
    }
    pack_zip(archive, photos, names)
    do("retry", run)
    do("resume", run)
    assert {row["state"] for row in rows(run).values()} == {"succeeded"}


def test_what_is_wrong_with_one_file_fails_that_file(service, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    contents = {
        "bomb.bmp": bytes(70 << 20),
        "damaged.txt": b"some text that is compressed " * 100,
        "secret.txt": b"y" * 100,
        "empty.txt": b"",
        "inner.zip": b"PK and so on",
        "ok.txt": b"fine",
    }
    archive = write_zip(tmp_path / "a.zip", contents)
    with zipfile.ZipFile(archive) as opened:
        places = {info.filename: info.header_offset for info in opened.infolist()}
    data = bytearray(archive.read_bytes())
    data[places["damaged.txt"] + 50] ^= 0xFF
    at = data.index(struct.pack("<H", len("secret.txt")), data.index(b"PK\x01\x02"))
    entry = data.rindex(b"PK\x01\x02", 0, data.index(b"secret.txt", at))
    data[entry + 8] |= 1
    archive.write_bytes(data)
    do("run", archive, "-c", toml, "-o", run, code=1)
    found = rows(run)
    assert {key.partition("!")[2]: row["code"] for key, row in found.items()} == {
        "bomb.bmp": "file_too_large",
        "damaged.txt": "file_unreadable",
        "secret.txt": "file_unreadable",
        "empty.txt": "file_empty",
        "inner.zip": None,
        "ok.txt": None,
    }
    assert "decompression bomb" in str(found["a.zip!bomb.bmp"]["message"])
    assert "password" in str(found["a.zip!secret.txt"]["message"])
    assert "damaged in the archive" in str(found["a.zip!damaged.txt"]["message"])


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar", "photos.tar.gz"])
def test_an_archive_that_was_cut_off_is_refused_before_anything_is_sent(
    name, service, photos, tmp_path
):
    toml, archive = config(tmp_path / "c.toml", service), tmp_path / name
    (pack_zip if name.endswith("zip") else pack_tar)(archive, photos, files(photos))
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    said = do("run", archive, "-c", toml, "-o", tmp_path / "run", code=2)
    assert "get it whole again" in said
    assert not (tmp_path / "run").exists()


def test_the_archive_itself_is_sent_when_that_is_said(service, photos, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    pack_zip(tmp_path / "photos.zip", photos, files(photos))
    do("run", "photos.zip", "--as-file", "-c", toml, "-o", run, cwd=tmp_path)
    assert list(rows(run)) == ["photos.zip"]
