"""What the pages tell people to type works as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from servers import free_port
from service import images

import batchinfer as bi

ROOT = Path(__file__).parents[2]


def shell(lines: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run lines as a person would, in a shell that ends whatever it has started."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
    }
    return subprocess.run(
        ["bash", "-e", "-c", f"trap 'for job in $(jobs -p); do kill $job; done' EXIT\n{lines}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_header_of_the_demo_config(tmp_path: Path):
    images(tmp_path / "photos", 6)
    (tmp_path / "configs").mkdir()
    text = (ROOT / "configs" / "demo.toml").read_text().replace("8765", str(free_port()))
    (tmp_path / "configs" / "demo.toml").write_text(text)
    lines = "\n".join(re.findall(r"^#     (.*)$", text, re.MULTILINE))
    assert "batchinfer run photos" in lines
    done = shell(lines.replace("--model faces", "--model echo"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert bi.status(tmp_path / "photos-run").counts.succeeded == 6
