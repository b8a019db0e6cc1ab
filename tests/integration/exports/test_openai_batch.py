"""The lines of OpenAI's Batch API, fetched and read by OpenAI's own client.

The client hands a batch's output file out as it is, with `iter_lines`; for what stands in a line it
has types of the body (which is ours) and of the error, but none of the line itself. That one is
written here after the API reference, "The request output object", on the client's own model.
"""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from openai import BaseModel, DefaultHttpxClient, OpenAI
from openai.types import BatchError
from pydantic import JsonValue

from batchinfer.exports import write_export
from support.books import HOSTILE, book, failed, pending, result
from support.gallery import NASTY, PREDICTIONS


class Response(BaseModel):
    status_code: int
    request_id: str
    body: JsonValue


class Line(BaseModel):
    id: str
    custom_id: str
    response: Response | None
    error: BatchError | None


class Files(BaseHTTPRequestHandler):
    """Serves `/v1/files/<name>/content` out of a folder."""

    def do_GET(self):
        _, _, _, name, _ = self.path.split("/")
        body = (self.server.folder / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("openai")


@pytest.fixture(scope="module")
def client(folder):
    with HTTPServer(("127.0.0.1", 0), Files) as server:
        server.folder = folder
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with (
            DefaultHttpxClient(trust_env=False) as plain,
            OpenAI(
                api_key="none",
                base_url=f"http://127.0.0.1:{server.server_port}/v1",
                http_client=plain,
                max_retries=0,
            ) as client,
        ):
            yield client
        server.shutdown()


@pytest.fixture(scope="module")
def read(client, folder):
    """What the client makes of a run."""

    def fetched(made):
        count = write_export(made, folder / "output.jsonl", "openai-batch")
        lines = list(client.files.content("output.jsonl").iter_lines())
        assert len(lines) == count
        return {line.custom_id: line for line in map(Line.model_validate_json, lines)}

    return fetched


@pytest.fixture(scope="module")
def lines(read, hung):
    return read(hung.book())


def test_each_prediction_is_the_body_of_a_response(lines, hung):
    for key, prediction in PREDICTIONS.items():
        assert lines[key].response.status_code == 200
        assert lines[key].response.body == prediction
        assert lines[key].error is None
    assert lines["caption.jpg"].response.body == "A bear,\nin the snow"
    position = hung.position("mask.png")
    assert lines["mask.png"].response.body == {
        "path": f"outputs/{position}-1.png",
        "media_type": "image/png",
    }


def test_names_are_unique_and_tell_run_and_attempt(lines, hung):
    assert lines["site-1/bear.jpg"].id == "batch_req_abc-1-1"
    assert lines["site-1/bear.jpg"].response.request_id == "abc-1-1"
    assert len({line.id for line in lines.values()}) == len(lines) == len(hung.keys) - 1


def test_what_failed_has_an_error_and_no_response(lines):
    assert lines["failed.jpg"].response is None
    assert lines["failed.jpg"].error == BatchError(code="model_error", message="No <b>bear</b>.")


def test_what_has_no_outcome_yet_is_left_out_and_told(read):
    notices = []
    assert list(read(book([result("a"), pending()], notices))) == ["a"]
    assert notices == ["Left out: 1 item, without an outcome yet (first: 'c.jpg')."]


def test_no_hostile_text_breaks_a_line(read):
    texts = (*HOSTILE, NASTY, "a\x85b\u2028c\u2029d\x0b\x0c\x1c\x1d\x1e", "{}\n{}", '"}')
    spelled = [text.replace("\ud800", r"\ud800") for text in texts]
    found = read(book([result(text, {text: text}) for text in texts]))
    assert list(found) == spelled
    assert [line.response.body for line in found.values()] == [{text: text} for text in spelled]
    errors = read(book([failed(f"{n}", text, code=text) for n, text in enumerate(texts)]))
    assert [line.error.message for line in errors.values()] == spelled
    assert [line.error.code for line in errors.values()] == spelled
