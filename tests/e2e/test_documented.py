"""What the pages tell people to type works as it stands there."""

import re
from pathlib import Path

import batchinfer as bi
from support.cli import images, shell
from support.paths import ROOT


def test_the_header_of_the_demo_config(tmp_path: Path, free_tcp_port: int):
    images(tmp_path / "photos", 6)
    (tmp_path / "configs").mkdir()
    text = (ROOT / "configs" / "demo.toml").read_text().replace("8765", str(free_tcp_port))
    (tmp_path / "configs" / "demo.toml").write_text(text)
    lines = "\n".join(re.findall(r"^#     (.*)$", text, re.MULTILINE))
    assert "batchinfer run photos" in lines
    done = shell(lines.replace("--model faces", "--model echo"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert bi.status(tmp_path / "photos-run").counts.succeeded == 6
