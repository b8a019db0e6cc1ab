"""What the command line loads before it knows which command is meant."""

import subprocess
import sys

import pytest

LOADED = """
import sys
from batchinfer.cli import main

code = main(sys.argv[1:])
print(*sorted(name for name in sys.modules if name.startswith("batchinfer")), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_help_and_version_load_the_group_of_commands_and_nothing_of_what_commands_use(flag):
    done = subprocess.run(
        [sys.executable, "-c", LOADED, flag], capture_output=True, text=True, check=True
    )

    packages = {name.split(".")[1] for name in done.stderr.split() if "." in name}
    assert "cli" in packages
    assert packages.isdisjoint({"api", "backends", "config", "engine", "sources", "store"})
