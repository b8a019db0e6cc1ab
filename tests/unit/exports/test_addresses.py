import pytest

from batchinfer.exports.safe_endpoint import safe_host_and_name


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("https://example.org/run/birds", ("example.org", "birds")),
        ("https://example.org:8443/run/birds/?a=b#c", ("example.org:8443", "birds")),
        ("http://[::1]:9000", ("[::1]:9000", "")),
        ("https://me:swordfish@example.org/run/birds", ("example.org", "birds")),
        ("", ("", "")),
    ],
)
def test_the_host_and_the_service_are_told(endpoint, told):
    assert safe_host_and_name(endpoint) == told


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://me:sword/fish@example.org/run/birds",
        "https://me:sword?fish@example.org",
        "https://me:sword#fish@example.org",
        "https://example.org:swordfish/run/birds",
        "https://[swordfish/run",
        "https://sword fish/run/birds",
        "me:swordfish@example.org",
    ],
)
def test_what_could_hold_a_password_is_not_told(endpoint):
    assert "fish" not in "".join(safe_host_and_name(endpoint))
