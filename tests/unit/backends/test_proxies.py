"""Which proxy the environment names, and what is none."""

import pytest

from batchinfer.backends.proxies import find_proxy, find_proxy_for_url
from batchinfer.errors import ConfigError

NAMES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("proxy.example:3128", "http://proxy.example:3128"),
        (" https://user:pa%40ss@proxy.example ", "https://user:pa%40ss@proxy.example"),
        ("http://[::1]:3128", "http://[::1]:3128"),
        ("http://proxy_1.example", "http://proxy_1.example"),
        ("", None),
        ("  ", None),
    ],
)
def test_a_proxy_is_taken_from_the_environment(bare, value: str, proxy: str | None):
    bare.setenv("HTTPS_PROXY", value)
    assert find_proxy("https", "model.example", 443) == proxy
    assert find_proxy("http", "model.example", 80) is None


@pytest.mark.parametrize(
    "value",
    [
        "http://proxy.example:abc",
        "http://proxy.example:99999",
        "http://proxy.example:0",
        "http://",
        "http://:3128",
        "http://user:s3cr3t@",
        "http://user:s3cr3t@proxy.example:port",
        "http://user:s3cr3t/x@proxy.example:3128",
        "http://user:s3cr3t@pro xy.example:3128",
        "socks5://user:s3cr3t@proxy.example:1080",
        "http://[::1",
        "http://pro|xy",
    ],
)
def test_what_is_none_is_refused_without_its_password(bare, value: str):
    bare.setenv("HTTP_PROXY", value)
    with pytest.raises(ConfigError, match="HTTP_PROXY is no address of a proxy") as refused:
        find_proxy_for_url("http://model.example/run/x")
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_local_service_needs_no_proxy_not_even_a_good_one(bare, host: str):
    bare.setenv("HTTP_PROXY", "http://proxy.example:abc")
    assert find_proxy("http", host, 80) is None


@pytest.mark.parametrize(
    ("listed", "goes_past"),
    [
        ("*", True),
        ("model.example", True),
        (".example", True),
        ("*.example", True),
        ("example", True),
        ("other, model.example ,more", True),
        ("other model.example", True),
        ("MODEL.Example", True),
        ("model.example:8080", True),
        ("model.example:9090", False),
        ("del.example", False),
        ("other", False),
        (",", False),
        ("", False),
    ],
)
def test_no_proxy_names_hosts(bare, listed: str, goes_past: bool):
    bare.setenv("HTTP_PROXY", "proxy.example:3128")
    bare.setenv("NO_PROXY", listed)
    assert (find_proxy("http", "model.example", 8080) is None) is goes_past


@pytest.mark.parametrize(
    ("listed", "goes_past"),
    [
        ("10.0.0.0/8", True),
        ("10.1.2.3", True),
        ("10.1.2.3:80", True),
        ("10.1.2.4", False),
        ("11.0.0.0/8", False),
    ],
)
def test_no_proxy_names_networks(bare, listed: str, goes_past: bool):
    bare.setenv("HTTP_PROXY", "proxy.example:3128")
    bare.setenv("NO_PROXY", listed)
    assert (find_proxy("http", "10.1.2.3", 80) is None) is goes_past


def test_an_endpoint_that_is_no_url_is_not_a_matter_of_proxies(bare):
    bare.setenv("HTTP_PROXY", "http://proxy.example:abc")
    assert find_proxy_for_url("http://[half") is None
