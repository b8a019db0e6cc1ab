"""Credentials in a URI are found, and not shown."""

import pytest

from batchinfer.inputs.uri_secrets import find_uri_secret, hide_uri_secrets


@pytest.mark.parametrize(
    "uri",
    [
        "https://me:geheim@h.eu/a.jpg",
        "https://geheim@h.eu/a.jpg",
        "sftp://me:geheim@h.eu/a.jpg",
        "https://h.eu/a.jpg?X-Amz-Signature=geheim&x=1",
        "https://h.eu/a.jpg?x=1&sig=geheim",
        "HTTPS://h.eu/a.jpg?Access_Token=geheim#part",
        "https://h.eu/a.jpg?api%5Fkey=geheim",
    ],
)
def test_a_secret_is_found_and_hidden(uri):
    assert find_uri_secret(uri) is not None
    assert "geheim" not in str(find_uri_secret(uri))
    assert "geheim" not in hide_uri_secrets(uri)
    assert "h.eu/a.jpg" in hide_uri_secrets(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "https://h.eu/a.jpg?id=3&size=large",
        "https://h.eu/a.jpg?token=",
        "https://h.eu/me@home.jpg",
        "sftp://me@h.eu/a.jpg",
        "s3://b/a?sig=x.jpg",
        "s3://b/me:you@x.jpg",
    ],
)
def test_what_holds_none_stays_as_it_is(uri):
    assert find_uri_secret(uri) is None
    assert hide_uri_secrets(uri) == uri
