"""Each step of the platform's tutorial, by the command that the README gives for it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from service import config, png
from test_documented import ROOT, shell

import batchinfer as bi
from batchinfer.local.options import Options
from batchinfer.local.running import running

README = (ROOT / "README.md").read_text()
TABLE = README[README.index("## Everything in the platform's tutorial") :]
COMMANDS = re.findall(r"^\|.*\| `(batchinfer [^`]+)` \|$", TABLE, re.MULTILINE)
PREDICTION = [[{"name": "bear", "size": len(png(1))}]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """Where somebody follows the tutorial: credentials, an image, the demo app's inputs."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "bear.jpg").write_bytes(png(1))
    for name in ("sample-image.png", "sample-audio.wav", "sample-video.mp4"):
        (folder / name).write_bytes(name.encode())
    (line,) = re.findall(r"^\{\"files\".*$", README, re.MULTILINE)
    (folder / "demo.jsonl").write_text(line)
    here = Path(__file__).parent
    with (
        running(Options(model="demo_app:bears", threads=True), cwd=here) as yolo,
        running(Options(model="demo_app:demo_app", threads=True), cwd=here) as demo,
    ):
        config(folder / "demo-app.toml", demo)
        access, bucket = yolo.connection, yolo.connection.bucket
        info = {
            "name": bucket.name,
            "token": access.token,
            "endpoint": access.endpoint,
            "storage_providers": {
                "minio": {
                    "default": {
                        "endpoint": bucket.endpoint,
                        "access_key": bucket.access_key,
                        "secret_key": bucket.secret_key,
                        "region": bucket.region,
                        "verify": True,
                    }
                }
            },
        }
        (folder / "info.json").write_text(json.dumps(info))
        yield folder


def test_the_table_has_every_step():
    assert len(COMMANDS) == 11


@pytest.mark.parametrize("line", COMMANDS)
def test_each_step_of_the_tutorial(line: str, folder: Path):
    """In the order of the table: later steps use what earlier ones made."""
    environment = folder / "batchinfer.env"
    secrets = f". {environment}\n" if environment.exists() else ""
    done = shell(secrets + line, folder)
    assert done.returncode == 0, done.stderr
    match line.split()[1:]:
        case ["run", "bear.jpg", "--dry-run", "--curl"]:
            answer = shell(secrets + done.stdout, folder)
            assert "return: [" in answer.stdout
        case ["run" | "submit" | "collect", first, *_] as words:
            run = folder / (words[3] if len(words) > 2 else first)
            if words[0] != "submit":
                (result,) = bi.results(run)
                assert result.state is bi.State.SUCCEEDED
                expected = -0.9 if "demo" in run.name else None
                if expected is None:
                    assert result.prediction == PREDICTION
                else:
                    assert result.prediction["demo_float"] == expected
                    assert result.prediction["demo_bool"] is False
                    assert result.prediction["demo_dict"] == {"c": "d"}
                    assert result.prediction["demo_list_of_floats"] == [1.2, -1.8]
        case ["show", *_]:
            assert '"name": "bear"' in done.stdout
        case ["describe"]:
            assert "Input an image or video." in done.stdout
        case ["prepare", *_]:
            (payload,) = (folder / "payloads").glob("*.json")
            assert json.loads(payload.read_text())["oscar-files"][0]["key"] == "files"


def test_the_prepared_payload_is_what_the_web_ui_and_curl_take(folder: Path):
    (payload,) = (folder / "payloads").glob("*.json")
    secrets = f". {folder / 'batchinfer.env'}\n"
    endpoint = json.loads((folder / "info.json").read_text())["endpoint"]
    done = shell(
        f'{secrets}curl -s {endpoint} -H "Authorization: Bearer $OSCAR_TOKEN" --data @{payload}',
        folder,
    )
    assert "return: [" in done.stdout
