"""The command line as a user meets it: in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

XLVLA = Path(sys.executable).parent / "xlvla"


def run(*arguments: str, columns: int = 200) -> subprocess.CompletedProcess[str]:
    """The command with what it prints and its exit code."""
    environment = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1"}
    return subprocess.run(
        [XLVLA, *arguments], capture_output=True, text=True, timeout=120, env=environment
    )
