"""The parts of `deepaas` and `http-json` that no server asks for."""

import json

import pytest

from batchinfer.domain import Failure, Mode
from batchinfer.errors import ConfigError, FatalError
from batchinfer.protocols.inference_protocol import FileHead, HttpAnswer
from batchinfer.protocols.registry import load_protocol

PNG = b"\x89PNG\r\n\x1a\n"


def head(param, path="/data/a.png"):
    return FileHead(param, path, PNG, 8)


# DEEPaaS ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "model", "called"),
    [
        ("/", "bear", "/v2/models/bear/predict/"),
        ("/", None, None),
        ("/v2/models/bear/predict", None, "/v2/models/bear/predict/"),
        ("/v2/models/bear/", None, "/v2/models/bear/predict/"),
        ("/at/v2/models/a%20b/predict", "a b", "/at/v2/models/a%20b/predict/"),
        ("/at/api", "bear", "/at/v2/models/bear/predict/"),
        ("/at/v2/models", "a/b", "/at/v2/models/a%2Fb/predict/"),
    ],
)
def test_an_endpoint_may_name_the_deployment_or_the_model(endpoint, model, called):
    protocol = load_protocol("deepaas", {} if model is None else {"model": model})

    assert protocol.get_call_path(endpoint) == called


def test_endpoint_and_option_must_not_name_two_models():
    with pytest.raises(FatalError, match="leave one of them out"):
        load_protocol("deepaas", {"model": "cat"}).get_call_path("/v2/models/bear/predict")


def test_the_paths_are_those_of_the_deployment():
    protocol = load_protocol("deepaas")

    for endpoint in ("/at", "/at/v2/models/x/predict", "/at/swagger.json"):
        assert protocol.get_discovery_path(endpoint) == "/at/v2/models/"
        assert protocol.get_help_path(endpoint) == "/at/swagger.json"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"<html>", "bad_endpoint"),
        (200, b'{"models": []}', "no_model"),
        (200, b'{"models": [{"id": "a"}, {"id": "b"}]}', "several_models"),
        (404, b"404 page not found", "not_found"),
        (401, b"", "unauthorized"),
        (502, b"", "cold_start"),
        (503, b"queue full", "http_503"),
    ],
)
def test_a_deployment_without_one_model_says_what_it_is(status, body, code):
    found = load_protocol("deepaas").decode_discovery(HttpAnswer(status, body), "/")

    assert found.code == code


@pytest.mark.parametrize("value", [None, {}, [], {"a": 1}, [[1]], [None], float("nan"), "\ud800"])
def test_what_a_url_cannot_say_is_refused(value):
    refused = load_protocol("deepaas").encode_params({"x": value}, (), Mode.SYNC)

    assert isinstance(refused, Failure)
    assert "parameter 'x' cannot be sent" in refused.message


def test_a_boundary_is_of_one_process_and_of_no_file():
    one, other = load_protocol("deepaas", {"model": "a"}), load_protocol("deepaas", {"model": "b"})

    assert one.content_type != other.content_type


def test_names_cannot_break_out_of_a_part():
    name = 'a"\r\nX: y.png'
    parts = load_protocol("deepaas").encode_item({}, [head("f", f"/x/{name}")]).parts

    assert b'filename="a%22__X: y.png"' in parts[0]


# http-json --------------------------------------------------------------------------------------


def test_several_files_are_named_and_in_order():
    body = {"image": "$base64.image", "mask": "$data_uri.mask", "name": "$file_name.mask"}
    protocol = load_protocol("http-json", {"body": body})
    files = [head("image"), head("mask", "/data/it's.png")]

    first, second, last = protocol.encode_item({}, files).parts
    assert first == b'{"image": "'
    assert second == b'", "mask": "data:image/png;base64,'
    assert json.loads(first + second + last)["name"] == "it's.png"
    refused = protocol.encode_params({}, ("mask", "image"), Mode.SYNC)
    assert "the files image, mask, in this order" in refused.message
    assert isinstance(protocol.encode_params({}, ("image",), Mode.SYNC), Failure)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"a": "$file_name.b", "x": "$base64.a", "y": "$base64.b"}, "too early"),
        ({"x": "$base64.a", "y": "$file_name.b"}, "whose content it lacks"),
        ({"x": "$base64.a", "y": "$base64.a"}, "each once"),
        ({"x": "$base64", "p": "all: $params"}, "a value of its own"),
        ({"x": "$base64", "p": "$param"}, r"write \$param.NAME"),
    ],
)
def test_what_cannot_be_filled_in_is_refused(body, words):
    with pytest.raises(ConfigError, match=words):
        load_protocol("http-json", {"body": body})


def test_texts_are_filled_in_as_json_has_them():
    body = {"$$a": "$$5 \u2603", "p": "$param.x", "t": "<$param.x>$param.q", "all": ["$params"]}
    protocol = load_protocol("http-json", {"body": body})
    params = {"x": [1, "a"], "q": 'say "\\"\n'}
    (text,) = protocol.encode_item(params, []).parts

    assert json.loads(text) == {
        "$$a": "$5 \u2603",
        "p": [1, "a"],
        "t": '<[1, "a"]>say "\\"\n',
        "all": [params],
    }


def test_a_header_carries_any_file_name():
    protocol = load_protocol("http-json", {"raw": True, "headers": {"X-Name": "$file_name"}})
    encoded = protocol.encode_item({}, [head("f", "/x/\u2603 a\udcff.png")])

    assert encoded.headers["X-Name"].isascii()
    assert encoded.headers["X-Name"].startswith("%E2%98%83 a")


@pytest.mark.parametrize(
    ("expression", "found"),
    [("a[0].b", 1), ("$.a[0].b", 1), ("$", {"a": [{"b": 1}]}), ("$['a']", None), ("a[].b", [1])],
)
def test_a_result_may_be_written_as_jsonpath_begins(expression, found):
    options = {"raw": True, "result": expression}
    if found is None:
        with pytest.raises(ConfigError, match="no JMESPath"):
            load_protocol("http-json", options)
        return
    outcome = load_protocol("http-json", options).decode_answer(
        HttpAnswer(200, b'{"a": [{"b": 1}]}', {"Content-Type": "application/json"})
    )
    assert outcome.prediction == found


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (HttpAnswer(200, b'{"a": [1, 2', {}, is_framed=False), "answer_cut_off"),
        (HttpAnswer(200, b'{"a": [1, 2', {}, is_framed=True), "unreadable"),
        (HttpAnswer(200, b"", {}), "unreadable"),
        (HttpAnswer(202, b"{}", {}), "bad_endpoint"),
        (HttpAnswer(302, b"", {"Location": "https://u:p@x.example/?t=1"}), "redirected"),
    ],
)
def test_half_an_answer_or_another_one_is_no_prediction(answer, code):
    outcome = load_protocol("http-json", {"raw": True}).decode_answer(answer)

    assert outcome.code == code
    assert "u:p" not in str(outcome)


def test_other_bytes_are_a_file_and_texts_a_text():
    protocol = load_protocol("http-json", {"raw": True})
    image = protocol.decode_answer(HttpAnswer(200, PNG, {"Content-Type": "image/png"}))
    text = protocol.decode_answer(HttpAnswer(200, b"a bear", {"Content-Type": "text/plain"}))

    assert (image.media_type, image.data) == ("image/png", PNG)
    assert (text.media_type, text.prediction) == ("text/plain", "a bear")
