"""Nothing of `AWS_*`, `~/.aws` or botocore's switches reaches a bucket: every name, one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.configprovider import (
    BOTOCORE_DEFAUT_SESSION_VARIABLES,
    DEFAULT_PROXIES_CONFIG_VARS,
    DEFAULT_S3_CONFIG_VARS,
)

from batchinfer.backends.redaction import Redactor
from batchinfer.backends.s3 import open_s3_bucket
from batchinfer.errors import ConfigError
from support.servers import ACCESS_KEY, SECRET_KEY, Answer, stub

TABLES = (
    BOTOCORE_DEFAUT_SESSION_VARIABLES,
    DEFAULT_S3_CONFIG_VARS,
    DEFAULT_PROXIES_CONFIG_VARS,
)
BESIDE_TABLES = {
    "AWS_ACCESS_KEY_ID",
    "AWS_ACCOUNT_ID",
    "AWS_BEARER_TOKEN_S3",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_EXECUTION_ENV",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "BOTOCORE_EXPERIMENTAL__PLUGINS",
    "BOTO_CONFIG",
}
HOSTILE = ["", "http://127.0.0.1:9", "a\nb: ü"]
FILES = {
    "not ini": "this is [no ini file\n===",
    "another endpoint": "[default]\nendpoint_url = http://127.0.0.1:9\nservices = s\n"
    "[services s]\ns3 =\n  endpoint_url = http://127.0.0.1:9\n",
    "bad values": "[default]\nretry_mode = \ndefaults_mode = no\nmax_attempts = many\n"
    "region = no such region\nca_bundle = /nowhere\n"
    "account_id_endpoint_mode = x\nrequest_checksum_calculation = x\n"
    "s3 =\n  addressing_style = virtual\n  us_east_1_regional_endpoint = x\n",
    "not text": "\udcff\udcfe[default]",
}


def names() -> list[str]:
    """Every name in the environment that this botocore asks for."""
    rows = [row[1] for table in TABLES for row in table.values()]
    lists = [[row] if isinstance(row, str) else row or [] for row in rows]
    return sorted(BESIDE_TABLES.union(*lists))


CARRIER: dict[str, bool] = {}


@pytest.fixture(params=["direct", "botocore"], autouse=True)
def carrier(request: pytest.FixtureRequest):
    """Every test runs over both ways to call a store: what one keeps, the other keeps."""
    CARRIER["use_botocore"] = request.param == "botocore"


async def sent() -> tuple[str, str, dict[str, str]]:
    """What a store receives of a listing: method, target, headers without what is of the moment."""
    async with (
        stub(Answer(body=b"<ListBucketResult/>")) as store,
        open_s3_bucket(
            endpoint=f"http://127.0.0.1:{store.port}",
            name="ai4papi-1",
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            redactor=Redactor(()),
            retry_timeout=0,
            **CARRIER,
        ) as bucket,
    ):
        assert (await bucket.list_page("outputs/")).objects == []
    (request,) = store.requests
    moment = {"host", "x-amz-date", "authorization", "amz-sdk-invocation-id"}
    signed = request.headers["authorization"].partition("Credential=")[2].partition("/")[0]
    headers = {name: value for name, value in request.headers.items() if name not in moment}
    return request.method, request.target, headers | {"signed by": signed}


@pytest.mark.parametrize("name", names())
async def test_no_variable_changes_what_is_sent(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(name, raising=False)
    undisturbed = await sent()
    for value in HOSTILE:
        monkeypatch.setenv(name, value)
        assert await sent() == undisturbed


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
async def test_no_file_of_aws_changes_what_is_sent(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    undisturbed = await sent()
    folder = tmp_path / ".aws"
    models = folder / "models" / "s3" / "2006-03-01"
    models.mkdir(parents=True)
    content = text.encode("utf-8", "surrogateescape")
    for file in (folder / "config", folder / "credentials", models / "service-2.json"):
        file.write_bytes(content)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    monkeypatch.setenv("AWS_DATA_PATH", str(folder / "models"))
    assert await sent() == undisturbed


async def test_a_region_that_is_none_is_an_error_of_the_config():
    with pytest.raises(ConfigError, match="region 'no region!' is no name of a region"):
        async with open_s3_bucket(
            endpoint="http://127.0.0.1:9",
            name="ai4papi-1",
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            redactor=Redactor(()),
            region="no region!",
        ):
            pass
