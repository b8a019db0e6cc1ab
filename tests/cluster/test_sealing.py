"""How settings and secrets cross to a worker, and what both ends must have in common."""

import logging
import pickle

import pytest

from batchinfer.api.distribution import WorkerBackendFactory
from batchinfer.cluster.sealed_factory import UnsealError, seal_factory, unseal_factory
from batchinfer.cluster.worker_versions import describe_versions, find_differing_versions
from batchinfer.config import load_config, resolve_run_settings
from support.fake_cluster import make_setup
from support.http_calls import TOKEN


@pytest.fixture
def factory() -> WorkerBackendFactory:
    flags = {"service.endpoint": "https://service.example/run/a", "service.token": TOKEN}
    return WorkerBackendFactory(resolve_run_settings(load_config(None, {}, flags), {}), "r", "e")


def test_what_is_sealed_comes_out_again(factory):
    assert unseal_factory(seal_factory(factory)) == factory
    assert seal_factory(factory) != seal_factory(factory)


def test_nothing_of_it_can_be_seen(factory):
    setup = make_setup(factory)
    for shown in (pickle.dumps(setup), repr(setup).encode(), setup.sealed_factory):
        assert TOKEN.encode() not in shown
        assert b"service.example" not in shown
    assert TOKEN not in repr(factory)


def test_what_cannot_be_made_here_is_told_without_a_word_of_it(factory, caplog):
    caplog.set_level(logging.DEBUG)
    sealed = seal_factory(factory)
    with pytest.raises(UnsealError) as error:
        unseal_factory(sealed[:40] + bytes(len(sealed) - 40))
    assert TOKEN not in str(error.value)
    assert error.value.__cause__ is None
    assert not caplog.text


def test_versions_that_differ_are_named():
    here = describe_versions("ai4os")
    assert here['the protocol "ai4os"'] == "built-in"
    assert find_differing_versions(here, here) is None
    other = {**here, "batchinfer": "0.1"}
    assert find_differing_versions(other, here) == f"batchinfer {here['batchinfer']} instead of 0.1"


def test_a_protocol_that_is_not_installed_is_missing():
    assert describe_versions("gone")['the protocol "gone"'] == "missing"
