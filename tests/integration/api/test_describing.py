"""Asking for the model's help: what is waited for, what is tried again, what is left behind."""

import pytest

from batchinfer import api
from batchinfer.api.help_requests import fetch_help_by_call, fetch_help_by_job
from batchinfer.backends.bucket_client import BucketUnreachable, MemoryBucket
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import Failure, FailureKind
from batchinfer.errors import ConfigError, FatalError, RunAborted, SourceError
from batchinfer.flow.retries import RetryPolicy
from batchinfer.ports import Event, Notice, OutageEnded, OutageOngoing
from batchinfer.protocols.ai4os.help_parser import parse_help
from batchinfer.protocols.ai4os.payload import HELP_PAYLOAD
from batchinfer.store.run_reader import RunReader
from support.paths import FIXTURES
from support.protocols import AI4OS
from support.servers import Answer, stub

BODY = (FIXTURES / "sync_2.6.0_help.body").read_bytes()
LOG = (FIXTURES / "async_2.5.2_help.log").read_bytes()
OK = (FIXTURES / "sync_2.5.2_ok_dict.body").read_bytes()
TOKEN = "0123456789abcdef" * 4
QUICK = RetryPolicy(max_attempts=3, base_delay=0.0)
COLD = Failure("cold_start", "not yet", FailureKind.UNAVAILABLE)
BUSY = Failure("http_503", "busy", FailureKind.TRANSIENT)


class Notebook:
    def __init__(self):
        self.events: list[Event] = []

    def notify(self, event):
        self.events.append(event)

    def codes(self, kind=Notice):
        return [event.code for event in self.events if isinstance(event, kind)]


class Service:
    def __init__(self, *answers):
        self.answers = list(answers)

    async def fetch_help(self):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def asked(*answers, patience=60.0):
    service, notebook = Service(*answers), Notebook()
    answer = await fetch_help_by_call(service, notebook, cold_start_timeout=patience, policy=QUICK)
    return answer, notebook, len(service.answers)


# By a call ---------------------------------------------------------------------------------------


async def test_a_cold_service_is_waited_for_and_that_is_told():
    answer, notebook, left = await asked(COLD, COLD, COLD, COLD, "the help")

    assert (answer, left) == ("the help", 0)
    assert notebook.codes(OutageOngoing) == ["cold_start"] * 4
    assert notebook.codes(OutageEnded) == ["cold_start"]


async def test_patience_with_a_cold_service_ends():
    assert (await asked(COLD, "the help", patience=-1.0))[::2] == (COLD, 1)


async def test_what_may_pass_is_tried_three_times():
    assert (await asked(BUSY, BUSY, "the help"))[0] == "the help"
    assert (await asked(BUSY, BUSY, BUSY, "the help"))[::2] == (BUSY, 1)


@pytest.mark.parametrize(
    "failure",
    [
        Failure("model_error", "cannot be loaded"),
        Failure("unreachable", "no such host", FailureKind.UNAVAILABLE),
        Failure("timeout", "it holds the place", FailureKind.TRANSIENT),
        Failure("http_429", "come again in an hour", FailureKind.TRANSIENT, retry_after=3600.0),
    ],
)
async def test_what_does_not_pass_soon_is_not_asked_again(failure):
    assert (await asked(failure, "the help"))[::2] == (failure, 1)


# Through the bucket ------------------------------------------------------------------------------


class Platform(MemoryBucket):
    """Answers each input with `log`, after one look in vain."""

    def __init__(self, log):
        super().__init__()
        self.log, self.seen = log, []

    async def put(self, key, body):
        self.seen.append((key, body))
        return await super().put(key, body)

    async def get(self, key):
        found = await super().get(key)
        if found is None and self.log is not None:
            self.objects[key] = self.log
        return found


async def through_bucket(log, patience=60.0, secrets=()):
    platform, notebook = Platform(log), Notebook()
    platform.objects["outputs/"] = b""
    answer = await fetch_help_by_job(
        platform, AI4OS, notebook, Redactor(secrets), timeout=patience, poll_interval=0.0
    )
    return answer, platform, notebook


async def test_the_help_comes_through_the_bucket_and_nothing_is_left():
    answer, platform, notebook = await through_bucket(LOG)

    assert parse_help(answer) == parse_help(BODY.decode())
    ((key, body),) = platform.seen
    assert key.startswith("inputs/help-")
    assert body == HELP_PAYLOAD
    assert platform.objects == {"outputs/": b""}
    assert notebook.codes(OutageOngoing) == ["help", "help"]  # before each of the two looks


async def test_a_help_that_never_comes_is_given_up_and_nothing_is_left():
    answer, platform, _ = await through_bucket(None, patience=-1.0)

    assert answer.code == "no_output"
    assert platform.objects == {"outputs/": b""}


@pytest.mark.parametrize(
    ("log", "code"),
    [
        ("fail_exception", "model_error"),
        ("fail_killed", "model_killed"),
        ("ok_dict", "no_help"),
    ],
)
async def test_another_log_says_why_there_is_no_help(log, code):
    answer, platform, _ = await through_bucket((FIXTURES / f"async_2.5.2_{log}.log").read_bytes())

    assert answer.code == code
    assert platform.objects == {"outputs/": b""}


async def test_a_deepaas_too_old_is_fatal():
    with pytest.raises(FatalError, match="newer image"):
        await through_bucket(b"Error: DEEPaaS version must be >=2.5.0. Current version is: 2.3.0\n")


async def test_the_help_is_kept_without_secrets():
    answer, _, _ = await through_bucket(LOG.replace(b"704", b"swordfish"), secrets=["swordfish"])

    assert "swordfish" not in answer
    assert "Default: [" in answer


async def test_a_bucket_that_does_not_answer_is_a_failure():
    bucket = MemoryBucket()
    bucket.error = BucketUnreachable("nobody there")

    answer = await fetch_help_by_job(bucket, AI4OS, Notebook(), Redactor(()), timeout=1.0)

    assert (answer.code, answer.message) == ("bucket_unreachable", "nobody there")


# Before a run ------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"a")
    return folder


def model(request):
    """A service that knows its help."""
    return Answer(body=BODY if request.body == HELP_PAYLOAD else OK)


def config(tmp_path, port, more=""):
    path = tmp_path / "c.toml"
    service = f'[service]\nendpoint = "http://127.0.0.1:{port}/run/x"\ntoken = "{TOKEN}"\n'
    path.write_text(f"{service}{more}")
    return path


async def go(tmp_path, source, answer=model, more="", **settings):
    async with stub(answer) as server:
        notebook = Notebook()
        path = config(tmp_path, server.port, more)
        try:
            await api.arun(source, tmp_path / "run", config=path, observer=notebook, **settings)
        except Exception as error:
            error.requests = server.requests
            raise
        return notebook, [request.body for request in server.requests]


async def test_the_help_is_asked_for_once_and_kept(tmp_path, photos):
    _, first = await go(tmp_path, photos, params={"rng": 3})
    (photos / "b.jpg").write_bytes(b"b")
    _, again = await go(tmp_path, photos, params={"rng": 3}, force=True)  # at another port

    assert first[0] == HELP_PAYLOAD
    assert (len(first), len(again)) == (2, 1)
    with RunReader(tmp_path / "run") as reader:
        assert parse_help(reader.read_model_help()) == parse_help(BODY.decode())


async def test_all_mistakes_of_config_flags_and_lines_are_told_at_once(tmp_path, photos):
    manifest = tmp_path / "list.csv"
    manifest.write_text("path,rng\nphotos/a.jpg,1.5\nx.jpg,2\n")
    (tmp_path / "x.jpg").write_bytes(b"x")
    with pytest.raises(ConfigError) as caught:
        await go(tmp_path, [photos, manifest], more="[params]\nimgz = 3\n", params={"flag": "on"})
    told = str(caught.value)

    assert told.startswith("3 mistakes in the parameters; nothing was sent:")
    assert "c.toml: [params] imgz: the model has no parameter 'imgz' (did you mean 'imgsz'" in told
    assert "`params[\"flag\"]`: parameter 'flag' takes true or false" in told
    assert "list.csv:2: parameter 'rng' takes a whole number (int), which 1.5 is not" in told
    assert [request.body for request in caught.value.requests] == [HELP_PAYLOAD]
    assert not (tmp_path / "run").exists()


async def test_mistakes_of_a_manifest_alone_are_the_sources_and_counted_beyond_twenty(tmp_path):
    manifest = tmp_path / "list.jsonl"
    lines = [f'{{"key": "{at}", "params": {{"rng": {at}.5}}}}\n' for at in range(30)]
    lines += [f'{{"key": "k{at}", "params": {{"rgn": 1}}}}\n' for at in range(5)]
    manifest.write_text("".join(lines[:10] + lines[30:] + lines[10:30]))
    with pytest.raises(SourceError) as caught:
        await go(tmp_path, manifest)
    told = str(caught.value).splitlines()

    assert told[0].startswith("35 mistakes in the parameters")
    assert "list.jsonl:1: parameter 'rng'" in told[1]
    assert "list.jsonl:11 (and 4 more): the model has no parameter 'rgn'" in told[11]
    assert told[21] == "  ... and 11 more"


async def test_a_secret_that_does_not_fit_is_not_shown(tmp_path, photos):
    with pytest.raises(ConfigError, match=r"'rng', which is secret and not shown, does not fit"):
        await go(tmp_path, photos, more=f'[params]\nrng = "{TOKEN}"\n')


async def test_without_validation_nothing_is_asked(tmp_path, photos):
    notebook, sent = await go(tmp_path, photos, params={"nothing": 1}, validate=False)

    assert len(sent) == 1
    assert notebook.codes() == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=OK),
        Answer(body=b"custom script, no help"),
        Answer(500, b"exit status 1\nTraceback\nboom"),
        Answer(413, b"<html>"),
    ],
)
async def test_where_there_is_no_help_the_run_goes_on_with_a_notice(tmp_path, photos, answer):
    def knows_no_help(request):
        return answer if request.body == HELP_PAYLOAD else Answer(body=OK)

    notebook, sent = await go(tmp_path, photos, knows_no_help, params={"nothing": 1})

    assert notebook.codes() == ["not_validated"]
    assert sent.count(HELP_PAYLOAD) == len(sent) - 1
    with RunReader(tmp_path / "run") as reader:
        assert reader.read_model_help() is None


async def test_what_cannot_be_sent_is_refused_even_without_a_help(tmp_path, photos):
    with pytest.raises(ConfigError, match=r"`params\[\"conf\"\]`"):
        await go(tmp_path, photos, Answer(body=OK), params={"conf": 1})


async def test_a_refused_token_ends_the_run_before_it_begins(tmp_path, photos):
    with pytest.raises(RunAborted) as caught:
        await go(tmp_path, photos, Answer(401))

    assert caught.value.code == "unauthorized"
    assert not (tmp_path / "run").exists()


async def test_a_service_that_stays_cold_ends_the_run_before_it_begins(tmp_path, photos):
    with pytest.raises(RunAborted, match="Nothing was sent") as caught:
        await go(tmp_path, photos, Answer(502), more='[run]\ncold_start = "1ms"\n')

    assert caught.value.code == "cold_start"
    assert not (tmp_path / "run").exists()


async def test_an_abbreviation_is_taken_with_a_notice(tmp_path, photos):
    notebook, _ = await go(tmp_path, photos, params={"imgs": [1, 2]})

    (notice,) = [event for event in notebook.events if isinstance(event, Notice)]
    assert notice == Notice("abbreviated", "The model takes 'imgs' for its parameter 'imgsz'.")
