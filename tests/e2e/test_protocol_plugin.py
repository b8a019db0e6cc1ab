"""A service of another kind, by a protocol of another package, from the command line to exports."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from batchinfer.store.run_reader import RunReader
from support import plugins
from support.cli import TOKEN, batchinfer, clean_environment, told

GROUP, TARGET = "batchinfer.protocols", "toy_protocol:ToyProtocol"


class Handler(BaseHTTPRequestHandler):
    """Counts the bytes of a body; refuses bodies that say so."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        params = json.loads(self.headers[self.server.header])
        self.server.calls.append((body, params, self.headers["Authorization"]))
        if body.startswith(b"refuse"):
            status, answer = 422, b'{"error": "no picture"}'
        elif body.startswith(b"garble"):
            status, answer = 200, b"<html>"
        else:
            status, answer = 200, json.dumps({"bytes": len(body), **params}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.calls, server.header = [], "X-Params"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def desk(tmp_path, server):
    (tmp_path / "batchinfer.toml").write_text(
        f'[service]\nendpoint = "http://127.0.0.1:{server.server_port}/count"\n'
        f'token = "{TOKEN}"\nprotocol = "toy"\n[params]\nzoom = 2\n'
    )
    (tmp_path / "in").mkdir()
    for number in range(6):
        (tmp_path / "in" / f"{number}.dat").write_bytes(b"x" * (number + 1))
    (tmp_path / "in" / "6.dat").write_bytes(b"refuse this")
    return tmp_path


@pytest.fixture
def env(tmp_path_factory):
    installed = plugins.install(
        tmp_path_factory.mktemp("site"), group=GROUP, name="toy", target=TARGET
    )
    return clean_environment(**installed)


def run(desk, env, *args, code=0):
    return batchinfer(*args, code=code, cwd=desk, env=env)


def exported(desk, env):
    text = run(desk, env, "export", "out", "-o", "-", "--format", "jsonl").stdout
    return [json.loads(line) for line in text.splitlines()]


def test_it_runs_resumes_and_is_exported(desk, env, server):
    config = ("-c", "batchinfer.toml")
    run(desk, env, "run", "in", "-o", "out", *config, "--limit", "3", "-n", "1")
    assert len(server.calls) == 3
    run(desk, env, "resume", "out", "-n", "1", code=1)

    assert len(server.calls) == 7
    assert {call[1:] == ({"zoom": 2}, f"Bearer {TOKEN}") for call in server.calls} == {True}
    rows = exported(desk, env)
    assert [row["prediction"] for row in rows[:6]] == [
        {"bytes": number + 1, "zoom": 2} for number in range(6)
    ]
    assert (rows[6]["state"], rows[6]["code"]) == ("failed", "http_422")
    assert "no picture" in rows[6]["message"]
    with RunReader(desk / "out") as reader:
        assert reader.info.config["service"]["protocol"] == "toy"
    assert TOKEN.encode() not in (desk / "out" / "run.db").read_bytes()


def test_the_protocol_may_be_named_by_a_flag_and_is_kept(desk, env, server):
    path = desk / "batchinfer.toml"
    path.write_text(path.read_text().replace('protocol = "toy"\n', ""))

    run(desk, env, "run", "in", "-o", "out", "--protocol", "toy", code=1)
    run(desk, env, "retry", "out")
    run(desk, env, "resume", "out", code=1)

    assert len(server.calls) == 8
    error = told(desk, "run", "in", "-o", "out", "-c", "batchinfer.toml", code=3, **env)
    assert "toy" in error
    assert "ai4os" in error


def test_its_options_are_kept_with_the_run_without_what_is_secret(desk, env, server):
    path, name = desk / "batchinfer.toml", "X-s3cr3t-0123456789"
    server.header = name
    path.write_text(path.read_text() + '[protocol]\nheader = "${HEADER}"\n')
    secret_env = {**env, "HEADER": name}

    run(desk, secret_env, "run", "in", "-o", "out", "-c", "batchinfer.toml", "--limit", "3")
    run(desk, secret_env, "resume", "out", code=1)
    wrong = told(desk, "resume", "out", **env)
    path.write_text(path.read_text().replace("header", "haeder"))
    misspelt = told(desk, "run", "in", "-o", "other", **secret_env)

    assert len(server.calls) == 7
    assert name.encode() not in b"".join(each.read_bytes() for each in (desk / "out").iterdir())
    with RunReader(desk / "out") as reader:
        assert reader.info.config["protocol"] == {"header": "${HEADER}"}
    assert "needs the environment variable HEADER" in wrong
    assert "[protocol] haeder is no option of this protocol. Did you mean 'header'?" in misspelt
    assert not (desk / "other").exists()


def test_results_are_read_where_the_protocol_is_not_installed(desk, env):
    run(desk, env, "run", "in", "-o", "out", code=1)

    assert len(exported(desk, clean_environment())) == 7
    run(desk, clean_environment(), "report", "out", "-o", "report.html")
    run(desk, clean_environment(), "export", "out", "-o", "crate", "--format", "ro-crate")


def test_what_would_be_sent_is_shown(desk, env, server):
    shown = json.loads(run(desk, env, "run", "in", "-o", "out", "--dry-run", "--json").stdout)

    assert shown["items"] == 7
    assert shown["payload"]["bytes"] == 1
    assert shown["curl"] is None
    assert server.calls == []


def test_payloads_are_prepared(desk, env):
    run(desk, env, "prepare", "in", "-o", "payloads")

    assert (desk / "payloads" / "000000003-2-dat.bin").read_bytes() == b"xxx"


def test_a_mode_that_it_does_not_offer_is_refused(desk, env):
    path = desk / "batchinfer.toml"
    path.write_text(
        path.read_text() + '[bucket]\nendpoint = "http://127.0.0.1:9"\nname = "b"\n'
        'access_key = "access-key"\nsecret_key = "secret-key"\n'
    )

    error = told(desk, "run", "in", "-o", "out", "--mode", "async", **env)

    assert 'The protocol "toy" has no async mode: use sync mode.' in error
    assert not (desk / "out").exists()


@pytest.mark.parametrize("args", [("--protocol", "tou"), ()])
def test_a_protocol_that_is_not_installed_is_refused(desk, env, args):
    environment = env if args else clean_environment()

    error = told(desk, "run", "in", "-o", "out", *args, **environment)

    assert "ai4os" in error
    assert not (desk / "out").exists()


def test_the_service_is_checked(desk, env):
    checked = run(desk, env, "check", "-c", "batchinfer.toml", "--json").stdout

    states = {line["check"]: line["state"] for line in json.loads(checked)["checks"]}
    assert states["config"] == "good"
    assert states["service"] == "note"
