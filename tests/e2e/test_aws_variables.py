"""`AWS_*` variables and `~/.aws` of somebody else neither change nor break async mode."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, DEFAULT_S3_CONFIG_VARS

from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, config, images, rows

TABLES = (BOTOCORE_DEFAUT_SESSION_VARIABLES, DEFAULT_S3_CONFIG_VARS)
BESIDE_TABLES = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_NEW_RETRIES_2026", "AWS_REGION"]


def names() -> set[str]:
    """Every name in the environment that this botocore asks for."""
    rows = [row[1] for table in TABLES for row in table.values()]
    return {*BESIDE_TABLES}.union(*([row] if isinstance(row, str) else row or [] for row in rows))


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=2)) as started:
        yield started


@pytest.mark.parametrize("value", ["", "nonsense", "-1"], ids=["empty", "word", "number"])
def test_a_run_and_a_check_do_not_see_them(value: str, service, tmp_path: Path):
    toml = config(tmp_path / "c.toml", service, 'mode = "async"\ntimeout = "60s"')
    photos = images(tmp_path / "photos", 2)
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    for name in ("config", "credentials"):
        (home / ".aws" / name).write_text("[default\nno ini at all")
    env = {**os.environ, "HOME": str(home), **dict.fromkeys(names(), value)}

    batchinfer("run", photos, "-c", toml, "-o", tmp_path / "run", "-q", env=env)
    checked = batchinfer("check", "-c", toml, env=env)

    assert [row["state"] for row in rows(tmp_path / "run")] == ["succeeded", "succeeded"]
    assert "the store answers, and knows the keys" in checked.stdout + checked.stderr
