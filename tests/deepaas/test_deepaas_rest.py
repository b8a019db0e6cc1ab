"""The protocol `deepaas` against the real `deepaas-run`: what comes out is what the module did."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

import batchinfer as bi
from support.cli import batchinfer, clean_environment, rows, start, told, until
from support.deepaas_rest import INSTALLED, VERSIONS, deepaas_run

PNG = b"\x89PNG\r\n\x1a\nnot really"
COUNT = 80

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_the_real_deepaas_that_is_tested(version: str):
    why = f"DEEPaaS {version} is not installed (make deepaas): nothing of it was tested"
    if version not in INSTALLED and os.environ.get("CI") != "true":
        pytest.skip(why)
    assert version in INSTALLED, why


@pytest.fixture(scope="module", params=INSTALLED)
def version(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def single(version, tmp_path_factory):
    """The port of a DEEPaaS with one model."""
    with deepaas_run(version, tmp_path_factory.mktemp("single")) as port:
        yield port


def write_config(folder: Path, port: int, more: str = "", path: str = "", run: str = "") -> Path:
    config = folder / "batchinfer.toml"
    config.write_text(
        f'[service]\nendpoint = "http://127.0.0.1:{port}{path}"\nprotocol = "deepaas"\n'
        f'[input]\nfile_param = "image"\n[run]\nhedge = false\n{run}\n{more}'
    )
    return config


def test_parameters_of_every_type_and_the_file_arrive_as_they_are(single, tmp_path):
    large = os.urandom(5_000_000)
    (tmp_path / 'a b;"é.png').write_bytes(PNG)
    (tmp_path / "large.bin").write_bytes(large)
    write_config(tmp_path, single)
    lines = [
        {"files": {"image": 'a b;"é.png'}, "params": {"mode": "echo", "flag": True}},
        {
            "files": {"image": "large.bin"},
            "params": {
                "mode": "echo",
                "number": -7,
                "ratio": -1e-05,
                "weights": [1, 2.5],
                "text": "=&%+ \u2603 'x'\n" + "y" * 9_000,
            },
        },
        {"key": "none", "params": {"mode": "echo", "text": ""}},
    ]
    (tmp_path / "items.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    batchinfer("run", "items.jsonl", "-o", "out", cwd=tmp_path, env=clean_environment())

    first, second, third = (row["prediction"] for row in rows(tmp_path / "out"))
    assert first["image"]["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert first["flag"] == {"type": "bool", "value": True}
    assert second["image"]["sha256"] == hashlib.sha256(large).hexdigest()
    assert second["number"] == {"type": "int", "value": -7}
    assert second["ratio"] == {"type": "float", "value": -1e-05}
    assert second["weights"] == {"type": "list", "value": [1.0, 2.5]}
    assert second["text"]["value"] == lines[1]["params"]["text"]
    assert third["image"]["value"] is None
    assert third["accept"]["value"] == "application/json"


def test_the_model_is_described_and_checked(single, version, tmp_path):
    write_config(tmp_path, single, '[params]\nmode = "echo"\n')
    env = clean_environment()
    described = json.loads(batchinfer("describe", "--json", "-q", cwd=tmp_path, env=env).stdout)
    checked = json.loads(batchinfer("check", "--json", cwd=tmp_path, env=env).stdout)["checks"]

    known = {each["name"]: each for each in described["parameters"]}
    assert known["mode"]["required"]
    assert (known["image"]["is_file"], known["image"]["type"]) == (True, None)
    assert known["colour"]["choices"] == ["red", "green"]
    assert (known["percent"]["minimum"], known["percent"]["maximum"]) == (0, 100)
    assert known["weights"]["type"] == "list"
    assert known["ratio"]["default"] == "0.1"
    assert {line["state"] for line in checked} == {"good"}
    assert f"DEEPaaS {version}." in [line["message"] for line in checked]


def test_what_the_model_would_refuse_is_refused_before_anything_is_sent(single, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(PNG)
    params = 'number = "x"\npercent = 101\ncolour = "gren"\nnuber = 1\noptions = {a = 1}\n'
    write_config(tmp_path, single, f"[params]\n{params}")

    error = told(tmp_path, "run", "in", "-o", "out")

    for words in (
        "6 mistakes",
        "number' takes a whole number (int), which 'x' is not",
        "percent' must be at most 100; it is 101",
        "must be one of red, green; it is gren (did you mean 'green'?)",
        "the model has no parameter 'nuber' (did you mean 'number'?)",
        "parameter 'options' cannot be sent",
        "the model needs the parameter 'mode', and it is not given",
    ):
        assert words in error
    assert "the model takes no file as 'mode'" in told(
        tmp_path, "run", "in", "-o", "out", "--file-param", "mode"
    )


def test_what_it_refuses_all_the_same_names_the_parameter(single, tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    write_config(tmp_path, single, '[params]\nnumber = "x"\n')
    run = ("run", "a.png", "-o", "out", "--no-validate", "-q")
    batchinfer(*run, code=1, cwd=tmp_path, env=clean_environment())

    (row,) = rows(tmp_path / "out")
    assert (row["state"], row["code"]) == ("failed", "bad_param")
    assert "'number': Not a valid integer." in row["message"]
    assert "'mode': Missing data for required field." in row["message"]


@pytest.mark.parametrize(
    ("mode", "media_type", "prediction"),
    [
        ("nested", "application/json", {"x": [1, 2.5, [-3e-07]], "y": {}}),
        ("yolo_seed", "application/json", {"name": "bear", "class": 21}),
        ("text", "text/plain", "a plain answer"),
        ("none", "application/json", None),
        ("nan", "application/json", "NaN"),
        ("raise_value", None, "model_error"),
    ],
)
def test_answers_are_read_as_what_they_are(single, tmp_path, mode, media_type, prediction):
    write_config(tmp_path, single, f'[params]\nmode = "{mode}"\n')
    (tmp_path / "a.png").write_bytes(PNG)
    code = 0 if media_type else 1
    batchinfer("run", "a.png", "-o", "out", "-q", code=code, cwd=tmp_path, env=clean_environment())

    (row,) = rows(tmp_path / "out")
    assert row["media_type"] == media_type
    if media_type is None:
        assert row["code"] == prediction
        assert "look into the log of the deployment" in row["message"]
    elif isinstance(prediction, dict):
        assert json.dumps(prediction)[:-1].strip("{") in json.dumps(row["prediction"])
    else:
        assert row["prediction"] == prediction


def test_bytes_come_by_the_option_accept(single, tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    write_config(tmp_path, single, '[protocol]\naccept = "image/png"\n[params]\nmode = "png"\n')
    batchinfer("run", "a.png", "-o", "out", "-q", cwd=tmp_path, env=clean_environment())

    (row,) = rows(tmp_path / "out")
    assert row["media_type"] == "image/png"
    assert (tmp_path / "out" / row["prediction"]).read_bytes().startswith(b"\x89PNG\r\n")


def test_the_curl_command_does_the_same(single, tmp_path):
    secret = 'it\'s "s3cr3t" & $HOME'
    (tmp_path / "it's a.png").write_bytes(PNG)
    write_config(
        tmp_path,
        single,
        '[protocol]\nmodel = "bi_probe"\n'
        '[params]\nmode = "echo"\nweights = [1, 2]\ntext = "${S}"\n',
    )
    env = clean_environment(S=secret)
    run = ("run", "it's a.png", "-o", "out")
    shown = json.loads(batchinfer(*run, "--dry-run", "--json", cwd=tmp_path, env=env).stdout)
    assert secret not in json.dumps(shown)
    answer = subprocess.run(
        ["bash", "-c", shown["curl"]], capture_output=True, env=env, cwd=tmp_path, check=True
    )
    batchinfer(*run, "-q", cwd=tmp_path, env=env)

    (row,) = rows(tmp_path / "out")
    assert json.loads(answer.stdout)["predictions"] == row["prediction"] | {
        "text": {"type": "str", "value": secret}
    }
    assert secret.encode() not in (tmp_path / "out" / "run.db").read_bytes()


def test_prepared_payloads_have_their_query_in_the_index(single, tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    write_config(tmp_path, single, '[params]\nmode = "echo"\n')
    batchinfer("prepare", "a.png", "-o", "out", cwd=tmp_path, env=clean_environment())

    (path,) = (tmp_path / "out").glob("*.multipart")
    boundary = path.read_bytes().partition(b"\r\n")[0].decode()[2:]
    header, row = (tmp_path / "out" / "index.csv").read_text().splitlines()
    assert header.endswith(",query")
    query = row.rpartition(",")[2]
    url = f"http://127.0.0.1:{single}/v2/models/bi_probe/predict/?{query}"
    told_type = f"Content-Type: multipart/form-data; boundary={boundary}"
    answer = subprocess.run(
        ["curl", "-s", url, "-H", told_type, "--data-binary", f"@{path}"],
        capture_output=True,
        check=True,
    )
    assert json.loads(answer.stdout)["predictions"]["image"]["size"] == len(PNG)


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number:03d}.png").write_bytes(PNG + str(number).encode())
    return folder


def test_one_of_several_models_is_asked_for_and_a_killed_run_goes_on(version, photos, tmp_path):
    env = clean_environment()
    with deepaas_run(version, tmp_path / "deepaas", with_hanging=True) as port:
        write_config(tmp_path, port)
        error = told(tmp_path, "run", "photos", "-o", "asked", code=3)
        assert "several models: name one of them as [protocol] model (bi_probe, hanging)" in error

        write_config(tmp_path, port, '[protocol]\nmodel = "hanging"\n')
        run = ("run", "photos", "-o", "out", "-q", "-n", "2")
        process = start(*run, cwd=tmp_path, env=env)
        counts = until(tmp_path / "out", lambda c: c.finished >= COUNT // 3, process)
        process.kill()
        process.communicate()
        assert COUNT // 3 <= counts.finished < COUNT
        done = {row["prediction"]["sha256"] for row in rows(tmp_path / "out") if row["prediction"]}
        before = (tmp_path / "deepaas" / "journal").read_text().split()
        batchinfer("resume", "out", "-q", cwd=tmp_path, env=env)
        after = (tmp_path / "deepaas" / "journal").read_text().split()[len(before) :]

    expected = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in photos.iterdir()
    }
    assert {row["key"]: row["prediction"]["sha256"] for row in rows(tmp_path / "out")} == expected
    assert not done & set(after[2:])  # of two in flight at the kill the answers may be lost


def test_a_model_that_hangs_for_ever_is_found_and_no_other_item_is_blamed(version, tmp_path):
    env, folder = clean_environment(), tmp_path / "in"
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.png").write_bytes(PNG + str(number).encode())
    (folder / "3-bad.png").write_bytes(PNG + b"hang")
    limits = 'timeout = "2s"\ngive_up_after = "6s"\ncold_start = "30s"'
    with deepaas_run(version, tmp_path / "deepaas", with_hanging=True) as port:
        write_config(tmp_path, port, path="/v2/models/hanging", run=limits)
        ended = told(tmp_path, "run", "in", "-o", "out", "-n", "2", code=3)

    assert "DEEPaaS issue 174" in ended
    assert "restart the deployment" in ended
    assert [row["key"] for row in rows(tmp_path / "out") if row["state"] == "failed"] == []
    succeeded = list(bi.results(tmp_path / "out", "succeeded"))
    with deepaas_run(
        version, tmp_path / "deepaas", with_hanging=True, HANGING_REPAIRED="1"
    ) as port:
        write_config(tmp_path, port, path="/v2/models/hanging", run=limits)
        batchinfer("resume", "out", "--force", "-c", "batchinfer.toml", cwd=tmp_path, env=env)

    assert len(succeeded) < 9
    assert {row["state"] for row in rows(tmp_path / "out")} == {"succeeded"}
