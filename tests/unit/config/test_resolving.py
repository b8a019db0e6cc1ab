import pytest

from batchinfer.config import (
    CONFIG_TEMPLATE,
    BucketSettings,
    Concurrency,
    ServiceSettings,
    load_config,
    load_stored_config,
    resolve_run_settings,
)
from batchinfer.domain import Mode
from batchinfer.errors import ConfigError
from batchinfer.sources import Selection

TOKEN = "0123456789abcdef" * 4
SYNC = {
    "service.endpoint": "https://e.eu/run/x/",
    "service.token": "${OSCAR_TOKEN}",
}
ASYNC = {
    "bucket.endpoint": "https://minio.e.eu/",
    "bucket.name": "x",
    "bucket.access_key": "${KEY}",
    "bucket.secret_key": "${SECRET}",
}
ENV = {"OSCAR_TOKEN": f"{TOKEN}\n", "KEY": "me@e.eu", "SECRET": "s$$ecret${X}"}


def resolved(flags, env=ENV):
    return resolve_run_settings(load_config(None, {}, flags), env)


def refused(flags, env=ENV):
    with pytest.raises(ConfigError) as caught:
        resolved(flags, env)
    return str(caught.value)


def test_a_sync_run_gets_the_service_and_the_defaults_of_sync():
    run = resolved(SYNC)

    assert run.mode is Mode.SYNC
    assert run.target == ServiceSettings("https://e.eu/run/x", TOKEN)
    assert (run.concurrency, run.timeout, run.max_attempts) == (Concurrency(), 600.0, 5)
    assert (run.connect_timeout, run.send_timeout, run.first_byte_timeout) == (30.0, 60.0, None)
    assert (run.memory, run.bandwidth, run.deadline, run.hedge) == (256_000_000, None, None, True)
    assert run.max_reply == 64_000_000
    assert run.give_up_after == 14_400.0
    assert (run.rate, run.max_failures, run.cold_start) == (None, None, 900.0)
    assert (run.file_param, run.selection, run.params, run.notices) == (
        "files",
        Selection(),
        {},
        (),
    )


def test_an_async_run_gets_the_bucket_and_the_defaults_of_async():
    run = resolved(ASYNC)

    assert run.mode is Mode.ASYNC
    assert run.target == BucketSettings("https://minio.e.eu", "x", "me@e.eu", "s$$ecret${X}")
    assert (run.concurrency, run.timeout) == (Concurrency(), 3600.0)


def test_what_is_given_wins_over_the_defaults():
    run = resolved(SYNC | {"run.concurrency": 3, "run.timeout": "1s", "run.memory": "1GB"})

    assert (run.concurrency, run.timeout, run.memory) == (Concurrency(3, 3), 1.0, 10**9)


def test_references_are_expanded_at_any_depth_and_never_twice():
    params = {
        "params.a": "x-${A}-$${A}-$A",
        "params.b": {"in": ["${B}", 1, True]},
    }
    run = resolved(SYNC | params, ENV | {"A": "${B}", "B": "bee"})

    assert run.params == {"a": "x-${B}-${A}-$A", "b": {"in": ["bee", 1, True]}}


def test_a_literal_secret_is_taken_as_it_stands():
    run = resolved(ASYNC | {"bucket.secret_key": "a$$b$c"})

    assert isinstance(run.target, BucketSettings)
    assert run.target.secret_key == "a$$b$c"


def test_all_secret_values_are_told_the_longest_first_also_those_of_the_other_mode():
    flags = SYNC | ASYNC | {"params.key": "Bearer ${API}", "params.other": "${GONE}$$"}
    flags |= {"bucket.secret_key": "literal-secret"}
    run = resolved(flags, ENV | {"API": "a-p-i", "GONE": "gone"})

    assert run.secrets == (TOKEN, "literal-secret", "me@e.eu", "a-p-i", "gone")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_the_password_of_a_proxy_is_a_secret(name):
    run = resolved(SYNC, ENV | {name: "http://user:pa%24s@proxy.example:3128"})

    assert {"pa%24s", "pa$s"} <= set(run.secrets)
    assert not [each for each in run.secrets if "user" in each or "proxy" in each]


def test_no_repr_shows_a_secret():
    for flags in (SYNC, ASYNC):
        run = resolved(flags | {"params.key": "${API}"}, ENV | {"API": "a-p-i"})
        for secret in (TOKEN, "me@e.eu", "s$$ecret", "a-p-i"):
            assert secret not in repr(run)


def test_the_other_mode_needs_nothing():
    assert resolved(SYNC | ASYNC | {"run.mode": "async"}, {**ENV, "OSCAR_TOKEN": ""})
    assert resolved(SYNC | ASYNC, {"OSCAR_TOKEN": TOKEN}).mode is Mode.SYNC


def test_what_is_missing_is_said_all_at_once_with_the_label_on_the_dashboard():
    message = refused({"run.mode": "async", "bucket.name": "x"})

    lines = message.splitlines()
    where = "Inference, Serverless (OSCAR), Info of the service"
    assert lines[3:] == [f"The Dashboard shows what async mode needs: {where}."]
    for line, label in zip(lines[:3], ("URL", "access key", "secret key"), strict=True):
        assert f'"MINIO {label}"' in line
    assert (
        "[bucket] endpoint is missing in the config, and BATCHINFER_BUCKET_ENDPOINT is not set"
        in lines[0]
    )


def test_with_nothing_configured_sync_mode_says_what_it_needs():
    message = refused({})

    assert '(on the Dashboard: "Endpoint")' in message
    assert '(on the Dashboard: "Token")' in message


@pytest.mark.parametrize(("env", "state"), [({}, "not set"), ({"OSCAR_TOKEN": " \n"}, "empty")])
def test_a_variable_that_is_missing_is_named_with_how_to_set_it(env, state):
    message = refused(SYNC, env)

    assert "`token` needs the environment variable OSCAR_TOKEN" in message
    assert f"which is {state}: export OSCAR_TOKEN=" in message


def test_a_variable_that_a_parameter_lacks_is_named():
    message = refused(SYNC | {"params.p": ["a", "${P} ${P}"]})

    assert message.count("\n") == 0
    assert '`params["p"]` needs the environment variable P, which is not set' in message


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("e.eu/run/x", "is not a URL that begins with https://"),
        ("ftp://e.eu/run/x", "is not a URL that begins with https://"),
        ("https://", "is not a URL"),
        ("https:///run/x", "is not a URL"),
        ("https://e.eu:port/run/x", "is not a URL"),
        ("https://[e.eu/run/x", "is not a URL"),
        ("https://me:hunter2@e.eu/run/x", "contains a user name or a password"),
        ("https://e.eu/run/x?hunter2", "is not the plain URL of a service"),
        ("https://e.eu/run/x#top", "is not the plain URL of a service"),
        ("https://e.eu/run/x y", "is not the plain URL of a service"),
        ("https://e.eu/run/ai4papi-...", "is not filled in yet"),
    ],
)
def test_an_endpoint_that_is_no_url_is_refused_with_the_place_to_look(endpoint, message):
    said = refused(SYNC | {"service.endpoint": endpoint})

    assert message in said
    assert '"Endpoint"' in said
    assert "hunter2" not in said


@pytest.mark.parametrize("token", ["abc def", "abc\tdef", "größe", "abc\x00def"])
def test_a_token_with_a_blank_or_a_strange_sign_is_refused_unshown(token):
    said = refused(SYNC, {"OSCAR_TOKEN": token})

    assert "(not shown)" in said
    assert token not in said


@pytest.mark.parametrize("name", ["x/inputs", "https://m/x", "a\nb"])
def test_a_bucket_name_that_is_none_is_refused(name):
    assert "is not a bucket name" in refused(ASYNC | {"bucket.name": name})


def test_a_ca_file_must_be_there(tmp_path):
    pem = tmp_path / "ca.pem"
    flags = SYNC | {"service.ca_file": str(pem)}
    assert "is not a file" in refused(flags)

    pem.touch()
    assert resolved(flags).target.ca_file == str(pem)


@pytest.mark.parametrize(
    ("endpoint", "verify", "codes"),
    [
        ("https://e.eu/run/x", True, []),
        ("http://127.0.0.1:8080/run/x", True, []),
        ("http://[::1]:8080/run/x", True, []),
        ("http://localhost/run/x", False, []),
        ("http://e.eu/run/x", True, ["plain_http"]),
        ("http://10.0.0.1/run/x", True, ["plain_http"]),
        ("https://e.eu/run/x", False, ["tls_unverified"]),
    ],
)
def test_a_person_is_told_of_an_open_line(endpoint, verify, codes):
    run = resolved(SYNC | {"service.endpoint": endpoint, "service.verify": verify})

    assert [notice.code for notice in run.notices] == codes


def test_a_run_goes_on_with_what_it_keeps_and_the_secrets():
    first = load_config(None, {}, SYNC | {"service.token": TOKEN, "params.a": "${A}"})
    again = load_stored_config(first.to_tables(), {"BATCHINFER_SERVICE_TOKEN": TOKEN}, {})

    assert resolve_run_settings(again, {"A": "1"}) == resolve_run_settings(first, {"A": "1"})


def test_a_literal_secret_has_to_be_given_again():
    first = load_config(None, {}, SYNC | {"service.token": TOKEN})

    with pytest.raises(
        ConfigError, match=r"\[service\] token is missing.*BATCHINFER_SERVICE_TOKEN"
    ):
        resolve_run_settings(load_stored_config(first.to_tables(), {}, {}), {})


def test_the_template_as_it_is_written_says_what_to_fill_in(tmp_path):
    path = tmp_path / "batchinfer.toml"
    path.write_text(CONFIG_TEMPLATE)

    with pytest.raises(ConfigError) as caught:
        resolve_run_settings(load_config(path, {}, {}), {"OSCAR_TOKEN": TOKEN})
    assert f"{path}: [service] endpoint is not filled in yet" in str(caught.value)


def test_the_template_filled_in_resolves_in_both_modes(tmp_path):
    path = tmp_path / "batchinfer.toml"
    path.write_text(CONFIG_TEMPLATE.replace("-...", ".example.eu"))
    env = {"OSCAR_TOKEN": TOKEN, "MINIO_ACCESS_KEY": "me@e.eu", "MINIO_SECRET_KEY": "secret"}

    assert resolve_run_settings(load_config(path, {}, {}), env).mode is Mode.SYNC
    assert (
        resolve_run_settings(load_config(path, {}, {"run.mode": "async"}), env).mode is Mode.ASYNC
    )
