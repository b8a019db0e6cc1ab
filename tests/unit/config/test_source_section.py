"""`[source]`: what it needs is said when an input needs it, and never shows a secret."""

import pickle

import pytest

from batchinfer.config import Config, SourceSection, load_config, resolve_run_settings
from batchinfer.config.run_settings import RunSettings
from batchinfer.config.source_resolver import list_missing_source_secrets
from batchinfer.config.value_parsers import Secret

TOKEN = "0123456789abcdef" * 4
SERVICE = {"service.endpoint": "https://s.example.eu/run/x", "service.token": TOKEN}
ENV = {"KEY": "reader-0123456789", "SECRET": "secret/0123456789"}


def resolve(env=None, **source: str) -> RunSettings:
    flags = {f"source.{name}": value for name, value in source.items()}
    return resolve_run_settings(load_config(None, {}, SERVICE | flags), ENV if env is None else env)


def test_without_it_nothing_is_known_and_nothing_is_wrong():
    found = resolve().source
    assert (found.problem, found.store.endpoint, found.token) == ("", None, None)
    assert "bucket:// needs [bucket] endpoint" in found.bucket_problem


def test_keys_are_expanded_masked_and_redacted():
    settings = resolve(access_key="${KEY}", secret_key="${SECRET}", endpoint="https://s3.eu/")
    store = settings.source.store
    assert (store.endpoint, store.access_key, store.secret_key) == ("https://s3.eu", *ENV.values())
    assert set(ENV.values()) <= set(settings.secrets)
    for value in ENV.values():
        assert value not in repr(settings)
    assert pickle.loads(pickle.dumps(settings)).source == settings.source


@pytest.mark.parametrize(
    ("source", "env", "problem"),
    [
        ({"access_key": "${KEY}", "secret_key": "${SECRET}"}, {}, "variable KEY, which is not set"),
        ({"access_key": "${KEY}"}, ENV, "needs both access_key and secret_key"),
        ({"token": "${KEY}"}, ENV, "token needs [source] endpoint"),
        ({"token": "a b", "endpoint": "https://x.eu"}, ENV, "invalid character (not shown)"),
        ({"endpoint": "https://me:pw@x.eu"}, ENV, "not a plain URL"),
        ({"endpoint": "s3.example.org"}, ENV, "not a plain URL"),
        ({"endpoint": "https://x.eu:notaport"}, ENV, "not a plain URL"),
        ({"ca_file": "/nowhere/ca.pem"}, ENV, "ca_file is not a file"),
    ],
)
def test_what_is_wrong_is_kept_for_whoever_needs_it(source, env, problem):
    found = resolve(env, **source).source
    assert problem in found.problem
    assert ":pw" not in found.problem


def test_a_run_keeps_references_and_notes_secrets_that_were_written_out():
    section = SourceSection(access_key=Secret("${KEY}"), secret_key=Secret("written/0123456789"))
    stored = Config(source=section).to_stored_tables()
    assert stored["source"] == {"access_key": "${KEY}"}
    assert stored["origin"] == {"source_secrets": ["secret_key"]}
    assert list_missing_source_secrets(Config(), stored) == ["secret_key"]
    assert list_missing_source_secrets(Config(source=section), stored) == []


def test_only_an_asynchronous_run_has_folders_of_its_service():
    bucket = {
        "bucket.endpoint": "https://m.eu",
        "bucket.name": "mine",
        "bucket.access_key": "reader-0123456789",
        "bucket.secret_key": "secret/0123456789",
    }
    for mode, folders in (("sync", ()), ("async", ("inputs/", "outputs/"))):
        config = load_config(None, {}, SERVICE | bucket | {"run.mode": mode})
        found = resolve_run_settings(config, {}).source
        assert (found.bucket_name, found.service_folders) == ("mine", folders)
        assert found.bucket_store is not None
