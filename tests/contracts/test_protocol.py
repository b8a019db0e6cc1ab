"""The contract of `InferenceProtocol`: one suite, run on ours and on one of another package."""

import dataclasses
import hashlib
import json
import sys
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.backends.http_backend import open_http_backend
from batchinfer.backends.payload_encoding import ENCODE_CHUNK_BYTES
from batchinfer.backends.payload_loader import STREAMED_ENCODING_MIN_BYTES, PayloadLoader
from batchinfer.backends.redaction import Redactor
from batchinfer.config.value_parsers import parse_plugin_name
from batchinfer.domain import Failure, FailureKind, InputFile, Item, Mode, Reply
from batchinfer.errors import ConfigError, FatalError
from batchinfer.plugins import PluginError
from batchinfer.protocols.inference_protocol import (
    FileHead,
    HttpAnswer,
    InferenceProtocol,
    SavedOutput,
)
from batchinfer.protocols.output_files_protocol import OutputFilesProtocol
from batchinfer.protocols.registry import PROTOCOLS, load_protocol
from support import plugins
from support.http_calls import OK, TOKEN
from support.servers import Answer, stub

sys.path.append(str(plugins.PLUGINS))
from toy_protocol import AskedProtocol, ToyProtocol

OWN = {"toy": ToyProtocol, "asked": AskedProtocol}

CASES = {
    "ai4os": SimpleNamespace(
        params={"size": 640, "labels": ["a", "b"]},
        file_params=("files", "mask"),
        good=HttpAnswer(200, OK, {}),
        prediction={"label": "cat", "score": 0.5},
    ),
    "oscar": SimpleNamespace(
        params={},
        file_params=("files",),
        good=HttpAnswer(200, b'{"label": "cat"}\n\n', {}),
        prediction={"label": "cat"},
        min_files=1,
    ),
    "toy": SimpleNamespace(
        params={"size": 640},
        file_params=("image",),
        good=HttpAnswer(200, b'{"label": "cat"}', {}),
        prediction={"label": "cat"},
        options={"header": "X-Zoom"},
    ),
    "asked": SimpleNamespace(
        params={"size": 640},
        file_params=("image",),
        good=HttpAnswer(200, b'{"label": "cat"}', {}),
        prediction={"label": "cat"},
    ),
}


CASES |= {
    "deepaas": SimpleNamespace(
        params={"size": 640, "labels": ["a", "b"], "accept": "application/json"},
        file_params=("files", "mask"),
        good=HttpAnswer(200, b'{"status": "OK", "predictions": ["[{\\"label\\": 1}]"]}', {}),
        prediction=[[{"label": 1}]],
        endpoint_path="/v2/models/bear/predict",
    ),
    "http-json body": SimpleNamespace(
        params={"size": 640, "text": 'a "b" \\ $ \u2603'},
        file_params=("image",),
        good=HttpAnswer(200, b'{"found": [{"label": "cat"}]}', {}),
        prediction={"label": "cat"},
        options={
            "body": {"n": ["$file_name", "$data_uri"], "p": "$params", "t": "so: $param.text"},
            "headers": {"X-Name": "$file_name", "X-Size": "$param.size"},
            "query": {"size": "$param.size"},
            "result": "$.found[0]",
        },
        min_files=1,
    ),
    "http-json multipart": SimpleNamespace(
        params={"size": 640},
        file_params=("image", "mask"),
        good=HttpAnswer(200, b'{"label": "cat"}', {}),
        prediction={"label": "cat"},
        options={"multipart": {"a": "$file.image", "b": "$file.mask", "n": "$param.size"}},
        min_files=2,
    ),
    "http-json raw": SimpleNamespace(
        params={},
        file_params=("image",),
        good=HttpAnswer(200, b'{"label": "cat"}', {}),
        prediction={"label": "cat"},
        options={"raw": True},
        min_files=1,
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    given = {"options": {}, "min_files": 0, "endpoint_path": "/predict"}
    given |= vars(CASES[request.param])
    if request.param in OWN:
        protocol = OWN[request.param]().configure(given["options"])
    else:
        protocol = load_protocol(request.param.split()[0], given["options"])
    return SimpleNamespace(protocol=protocol, **given)


def heads(case, contents):
    return [
        FileHead(param, f"/data/{param}.png", content[:512], len(content))
        for param, content in zip(case.file_params, contents, strict=False)
    ]


def encoded_params(case, count):
    names = case.file_params[: max(count, case.min_files)]
    encoded = case.protocol.encode_params(case.params, names, Mode.SYNC)
    assert not isinstance(encoded, Failure)
    return encoded


def joined(protocol, parts, contents):
    first, *others = parts
    coded = map(protocol.encode_content, contents)
    return b"".join((first, *chain.from_iterable(zip(coded, others, strict=True))))


def test_it_offers_a_mode_and_names_in_a_bucket_if_that_is_async(case):
    assert case.protocol.modes <= set(Mode)
    assert case.protocol.modes
    assert (Mode.ASYNC in case.protocol.modes) == (case.protocol.bucket is not None)


def test_there_is_one_part_more_than_files_and_none_depends_on_what_follows(case):
    contents = [b"one", b"two"][: len(case.file_params)]
    for count in range(case.min_files, len(contents) + 1):
        params = encoded_params(case, count)
        parts = case.protocol.encode_item(params, heads(case, contents[:count])).parts
        assert [type(part) for part in parts] == [bytes] * (count + 1)
        for fewer in range(1, count):
            before = case.protocol.encode_item(params, heads(case, contents[:fewer])).parts
            assert list(parts[:fewer]) == list(before[:fewer])


@given(content=st.binary(max_size=100))
def test_contents_may_be_encoded_in_chunks(case, content):
    protocol, whole = case.protocol, case.protocol.encode_content(content)

    assert len(whole) <= protocol.get_encoded_size(len(content))
    for size in (12, 24):
        chunks = [content[at : at + size] for at in range(0, len(content), size)]
        assert b"".join(map(protocol.encode_content, chunks)) == whole
    assert ENCODE_CHUNK_BYTES % 12 == 0


@pytest.mark.parametrize("size", [5, STREAMED_ENCODING_MIN_BYTES + 5])
async def test_small_and_large_files_are_sent_alike_and_the_same_each_time(case, size, tmp_path):
    contents = [bytes([n + 65]) * size for n in range(len(case.file_params))]
    files = []
    for param, content in zip(case.file_params, contents, strict=True):
        (tmp_path / f"{param}.png").write_bytes(content)
        files.append(InputFile(param, str(tmp_path / f"{param}.png"), size))
    item = Item("a", tuple(files))
    loader = PayloadLoader(case.protocol, case.params, Mode.SYNC)
    loaded = [await loader.load_within(None, item) for _ in range(2)]

    known = [
        FileHead(file.param, file.path, content[:512], size)
        for file, content in zip(files, contents, strict=True)
    ]
    expected = case.protocol.encode_item(encoded_params(case, len(files)), known)
    for each in loaded:
        assert bytes(each.body) == joined(case.protocol, expected.parts, contents)
        assert dict(each.headers) == dict(expected.headers)
        assert each.query == expected.query
        assert [sent.sha256 for sent in each.inputs] == [
            hashlib.sha256(content).hexdigest() for content in contents
        ]


def test_what_is_sent_has_only_what_http_can_carry(case):
    assert "Authorization" not in case.protocol.make_headers("")
    contents = [b"one", b"two"][: max(case.min_files, 1)]
    encoded = case.protocol.encode_item(encoded_params(case, 1), heads(case, contents))
    for text in (*encoded.headers, *encoded.headers.values(), *case.protocol.make_headers(TOKEN)):
        assert text.isprintable()
    assert encoded.query.isascii()
    assert not set(encoded.query) & set(" #\r\n")
    assert not encoded.query or case.protocol.has_query


def test_an_option_that_it_does_not_know_is_refused_by_name_and_its_value_is_not_quoted(case):
    with pytest.raises(ConfigError, match=r"\[protocol\] hedaer ") as refused:
        case.protocol.configure({**case.options, "hedaer": TOKEN})

    assert TOKEN not in str(refused.value)
    for name in case.options:
        assert name in str(refused.value)


def test_options_make_another_protocol_of_the_same_kind(case):
    again = case.protocol.configure(case.options)

    assert type(again) is type(case.protocol)
    assert again is not case.protocol or not case.options


def test_where_it_is_called_is_a_path_or_has_to_be_asked(case):
    for path in ("/", "/a/b", "/v2/models/x/predict"):
        called = case.protocol.get_call_path(path)
        assert called is None or called.startswith("/")
        assert case.protocol.get_discovery_path(path).startswith("/")
        help_path = case.protocol.get_help_path(path)
        assert help_path is None or help_path.startswith("/")


def test_a_preview_is_json_without_the_contents_of_files(case):
    content = b"QUFBQUFB" * 100
    files = heads(case, [content] * max(case.min_files, 1))
    shown = case.protocol.format_preview(encoded_params(case, 1), files)

    json.loads(shown)
    assert content.decode() not in shown
    assert case.protocol.encode_content(content).decode() not in shown


def test_a_good_answer_is_a_reply(case):
    outcome = case.protocol.decode_answer(case.good)

    assert isinstance(outcome, Reply)
    assert outcome.prediction == case.prediction


@given(
    status=st.integers(200, 599),
    body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "Location"]), st.text(max_size=30)),
)
def test_no_answer_breaks_it_and_what_is_no_success_is_no_reply(case, status, body, headers):
    outcome = case.protocol.decode_answer(HttpAnswer(status, body, headers))

    assert isinstance(outcome, Reply | Failure | FatalError)
    if status not in case.protocol.success_statuses:
        assert not isinstance(outcome, Reply)
    answer = HttpAnswer(status, body, headers)
    assert isinstance(case.protocol.decode_help(answer, "/x"), str | Failure | FatalError)


@given(text=st.text(max_size=200))
def test_a_description_is_read_or_not_and_never_breaks_it(case, text):
    assert case.protocol.help_request is None or isinstance(case.protocol.help_request, bytes)
    case.protocol.parse_help(text)
    case.protocol.find_software(text)
    failure = Failure("busy", "not now", FailureKind.TRANSIENT)
    assert case.protocol.extract_help(failure) == failure


def test_parameters_that_can_be_sent_are_right_where_nothing_else_is_known(case):
    checker = case.protocol.make_param_checker(None, Mode.SYNC, {})

    for name, value in case.params.items():
        assert checker.validate_value(name, value) is None
    assert list(checker.validate_item(case.params, case.file_params)) == []


def test_a_token_is_never_quoted(case):
    for token in (TOKEN, "abc.def.ghi", "short-secret"):
        facts = case.protocol.inspect_token(token)
        assert facts is None or token not in repr(dataclasses.astuple(facts))


# In a bucket ------------------------------------------------------------------------------------


def test_names_in_a_bucket_are_read_back_and_sort_by_position(case):
    if (names := case.protocol.bucket) is None:
        assert case.protocol.modes == {Mode.SYNC}
        return
    keys = []
    for position in (1, 2, 10, 999_999_999):
        base = names.make_object_name("run1", position, 3, "epoch123" + "0" * 16)
        log_key, reply_key = names.make_output_keys(base)
        assert names.parse_object_name("run1", base).position == position
        name = names.add_extension(base, "/data/a.tar.gz", b"")
        assert names.get_output_stem(name) == base
        assert names.parse_object_name("run1", name) == names.parse_object_name("run1", base)
        assert names.parse_input_key("run1", names.make_input_key(name))[0] == name
        assert names.parse_output_key("run1", log_key).extension == "log"
        assert names.parse_output_key("run1", reply_key).extension == "json"
        assert names.parse_output_key("run2", log_key) is None
        assert names.parse_output_key("run1", names.make_input_key(base)) is None
        assert names.make_start_after("run1", position) < min(log_key, reply_key)
        keys += sorted((log_key, reply_key))
    assert keys == sorted(keys)


@given(data=st.binary(max_size=200))
def test_what_lies_in_a_bucket_never_breaks_it(case, data):
    if (names := case.protocol.bucket) is None:
        return
    decoded = names.decode_log(data)
    assert decoded is None or isinstance(decoded, SavedOutput | Failure | FatalError)
    assert isinstance(names.decode_output(data, "", is_saved=True), Reply | Failure)
    assert isinstance(names.explain_missing(data), Failure)


@given(files=st.dictionaries(st.text(max_size=20), st.binary(max_size=50), min_size=1, max_size=4))
def test_no_outputs_of_any_number_and_name_break_it(case, files):
    names = case.protocol.bucket
    if not isinstance(names, OutputFilesProtocol):
        return
    stem = names.make_object_name("run1", 1, 1, "epoch123" + "0" * 16)
    outcome = names.decode_files(stem, {stem + name: data for name, data in files.items()})
    assert isinstance(outcome, Reply | Failure)
    names.find_missing(stem, [stem + name for name in files])
    for name in files:
        parsed = names.parse_output_key("run1", f"{names.outputs_prefix}{stem}{name}")
        assert parsed is None or parsed.base_name == stem


@pytest.mark.parametrize("mode", list(Mode))
def test_for_each_mode_it_is_of_the_same_kind(case, mode):
    protocol = case.protocol.for_mode(mode)

    assert type(protocol) is type(case.protocol)
    assert protocol.modes == case.protocol.modes


# Delivered --------------------------------------------------------------------------------------


def backend_at(port, protocol, path="/predict", params=None, **more):
    return open_http_backend(
        protocol=protocol,
        endpoint=f"http://127.0.0.1:{port}{path}",
        token=TOKEN,
        params=params or {},
        timeout=30.0,
        redactor=Redactor([TOKEN]),
        **more,
    )


async def attempt(protocol, answer, item, **more):
    async with stub(answer) as server, backend_at(server.port, protocol, **more) as backend:
        return await backend.attempt(item, 1), server.requests


@pytest.fixture
def item(case, tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG pixels")
    names = case.file_params[: max(case.min_files, 1)]
    return Item("a", tuple(InputFile(name, str(tmp_path / "a.png")) for name in names))


async def test_a_call_brings_the_reply_and_carries_the_token(case, item):
    answer = Answer(case.good.status, case.good.body)
    more = {"path": case.endpoint_path, "params": case.params}
    outcome, (request,) = await attempt(case.protocol, answer, item, **more)

    assert outcome.prediction == case.prediction
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["content-type"] == case.protocol.content_type
    assert case.protocol.encode_content(b"\x89PNG pixels") in request.body


@pytest.mark.parametrize("status", [200, 400, 418, 500, 503])
async def test_secrets_in_answers_are_removed_whatever_the_protocol_does_with_them(
    case, item, status
):
    body = case.good.body + f"\nyou sent {TOKEN}\n".encode()
    more = {"path": case.endpoint_path, "params": case.params}
    answer = Answer(status, body, {"X-Echo": TOKEN})
    try:
        outcome, _ = await attempt(case.protocol, answer, item, **more)
    except FatalError as error:
        outcome = error

    assert TOKEN not in repr(outcome)


class Broken(ToyProtocol):
    """A protocol with a mistake in one of its methods."""

    def __init__(self, method, function):
        setattr(self, method, function)


def raising(error):
    def fail(*_args, **_more):
        raise error

    return fail


MISTAKES = {
    "an error": raising(ZeroDivisionError(f"by {TOKEN}")),
    "recursion": raising(RecursionError("too deep")),
    "no file": raising(FileNotFoundError(2, "no such file")),
    "None": lambda *_args, **_more: None,
    "a text": lambda *_args, **_more: "a text",
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("method", ["encode_params", "encode_item", "decode_answer"])
async def test_a_mistake_in_a_protocol_fails_the_item_only(method, mistake, tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG pixels")
    item = Item("a", (InputFile("files", str(tmp_path / "a.png")),))
    broken = Broken(method, MISTAKES[mistake])
    outcome, requests = await attempt(broken, Answer(200, b"{}"), item)

    assert isinstance(outcome, Failure)
    assert (outcome.code, outcome.kind) == ("protocol_error", FailureKind.PERMANENT)
    assert TOKEN not in repr(outcome)
    assert outcome.sent == (method == "decode_answer") == bool(requests)


@pytest.mark.parametrize("is_raised", [True, False])
async def test_a_protocol_may_end_the_run(is_raised):
    fatal = FatalError("too_old", f"nobody speaks this any more: {TOKEN}")
    broken = Broken("decode_answer", raising(fatal) if is_raised else lambda _answer: fatal)

    with pytest.raises(FatalError, match="nobody speaks") as raised:
        await attempt(broken, Answer(200, b"{}"), Item("a"))
    assert raised.value.code == "too_old"
    assert TOKEN not in str(raised.value)


# Installed --------------------------------------------------------------------------------------


def test_an_unknown_protocol_is_refused_with_those_that_are_installed(tmp_path):
    with (
        plugins.installed(
            tmp_path, group="batchinfer.protocols", name="toy", target="toy_protocol:ToyProtocol"
        ),
        pytest.raises(ConfigError, match=r'no protocol "tou".*ai4os.*, toy'),
    ):
        load_protocol("tou")
    assert PROTOCOLS.names()[:4] == ["ai4os", "deepaas", "http-json", "oscar"]
    assert "toy" not in PROTOCOLS.names()


@pytest.mark.parametrize("target", ["toy_protocol:KINDS", "no_such_module:Protocol"])
def test_a_plugin_that_is_no_protocol_is_an_error_of_its_package(target, tmp_path):
    name = f"odd-{target.partition(':')[2].lower()}"
    with (
        plugins.installed(tmp_path, group="batchinfer.protocols", name=name, target=target),
        pytest.raises(PluginError, match="Repair"),
    ):
        load_protocol(name)


@pytest.mark.parametrize("name", ["${NAME}", "../toy", "to y", 3])
def test_a_name_that_no_protocol_can_have_is_refused(name):
    with pytest.raises(ValueError, match="a name of letters"):
        parse_plugin_name(name)


def test_it_is_a_subclass_of_one_class(case):
    assert isinstance(case.protocol, InferenceProtocol)
    assert Path(sys.modules[ToyProtocol.__module__].__file__).parent == plugins.PLUGINS
