"""The section `[protocol]`: options of the protocol, which may be secret."""

import sys

import pytest

from batchinfer.config import load_config, load_stored_config, resolve_run_settings
from batchinfer.config.diff import find_differences
from batchinfer.errors import ConfigError
from batchinfer.protocols.registry import load_protocol
from support import plugins

sys.path.append(str(plugins.PLUGINS))

SERVICE = '[service]\nendpoint = "https://e.eu/x"\ntoken = "${T}"\nprotocol = "toy-option"\n'
ENV = {"T": "a-token-0123456789", "NAME": "X-s3cr3t-0123456789"}


@pytest.fixture(scope="module", autouse=True)
def toy(tmp_path_factory):
    with plugins.installed(
        tmp_path_factory.mktemp("site"),
        group="batchinfer.protocols",
        name="toy-option",
        target="toy_protocol:ToyProtocol",
    ):
        yield


def load(tmp_path, text, service=SERVICE):
    path = tmp_path / "c.toml"
    path.write_text(service + text)
    return load_config(path, {}, {})


def refused(tmp_path, text, env=ENV, service=SERVICE):
    with pytest.raises(ConfigError) as caught:
        resolve_run_settings(load(tmp_path, text, service), env)
    return str(caught.value)


def test_options_reach_the_protocol_expanded_and_are_kept_unexpanded(tmp_path):
    config = load(tmp_path, '[protocol]\nheader = "${NAME}"\n')
    settings = resolve_run_settings(config, ENV)

    assert load_protocol(settings.protocol, settings.protocol_options).header == ENV["NAME"]
    assert ENV["NAME"] in settings.secrets
    assert ENV["NAME"] not in repr(settings)
    assert config.to_tables()["protocol"] == {"header": "${NAME}"}
    stored = load_stored_config(config.to_stored_tables(), ENV, {})
    assert stored.protocol_options == {"header": "${NAME}"}
    assert resolve_run_settings(stored, ENV).protocol_options == {"header": ENV["NAME"]}


def test_other_options_are_another_run(tmp_path):
    one = load(tmp_path, '[protocol]\nheader = "A"\n').to_tables()
    other = load(tmp_path, '[protocol]\nheader = "B"\n').to_tables()

    assert find_differences(one, one) == []
    (difference,) = find_differences(one, other)
    assert 'protocol.header "A" (you asked for "B")' in difference
    assert find_differences(one, load(tmp_path, "").to_tables())


def test_an_option_that_the_protocol_does_not_have_is_refused(tmp_path):
    assert "Did you mean 'header'?" in refused(tmp_path, '[protocol]\nhedaer = "${NAME}"\n')
    assert "[protocol] header takes a text" in refused(tmp_path, "[protocol]\nheader = 3\n")
    plain = SERVICE.replace("toy-option", "ai4os")
    told = refused(tmp_path, '[protocol]\nheader = "x"\n', service=plain)
    assert "[protocol] header is no option of this protocol. Its options: none" in told


def test_a_variable_that_is_not_set_is_named_and_nothing_else_is_said(tmp_path):
    told = refused(tmp_path, '[protocol]\nheader = "${NAME}"\n', {"T": ENV["T"]})

    assert "[protocol] header needs the environment variable NAME" in told
    assert "takes a text" not in told


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('headers = {Authorization = "Bearer abc"}', "headers.Authorization"),
        ('headers = {"X-API-Key" = "abc"}', "headers.X-API-Key"),
        ('api_key = "abc"', "api_key"),
        ('list = [{password = "abc"}]', "list.password"),
    ],
)
def test_a_secret_that_is_written_out_is_refused_and_not_shown(tmp_path, line, path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"[protocol]\n{line}\n")

    assert f"{path} is a secret by its name" in str(caught.value)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        'headers = {Authorization = "Bearer ${KEY}"}',
        "max_tokens = 5",
        'tokenizer = "abc"',
        'body = {key = "$base64"}',
    ],
)
def test_what_is_no_secret_or_comes_from_the_environment_is_taken(tmp_path, line):
    assert load(tmp_path, f"[protocol]\n{line}\n").protocol_options


def test_a_date_is_no_value_and_flags_and_variables_are_as_for_parameters(tmp_path):
    with pytest.raises(ConfigError, match="dates and times"):
        load(tmp_path, "[protocol]\nx = 2026-01-01\n")
    config = load_config(load(tmp_path, "[protocol]\nx = 1\n"), {}, {"protocol.y": 2})
    assert config.protocol_options == {"x": 1, "y": 2}
    with pytest.raises(ConfigError, match="no setting BATCHINFER_PROTOCOL_X"):
        load_config(None, {"BATCHINFER_PROTOCOL_X": "1"}, {})


def test_a_token_may_be_missing_where_none_is_needed(tmp_path):
    with plugins.installed(
        tmp_path / "site",
        group="batchinfer.protocols",
        name="asked",
        target="toy_protocol:AskedProtocol",
    ):
        service = '[service]\nendpoint = "https://e.eu/x"\nprotocol = "asked"\n'
        assert resolve_run_settings(load(tmp_path, "", service), {}).target.token == ""
        service = service.replace("asked", "toy-option")
        assert "token is missing" in refused(tmp_path, "", {}, service)
