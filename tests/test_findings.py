"""`make findings`: what is still as it was found, and what changed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[1] / "findings" / "table.py"

pytestmark = pytest.mark.skipif(not TABLE.is_file(), reason="not in a checkout")


def findings(folder, **codes):
    """Output and exit code of the table over scripts that end with these codes."""
    shutil.copy(TABLE, folder)
    for name, code in codes.items():
        comment = f"# The {name} package drops bytes (version 3).\n#\n# Expected: it does not."
        script = f"#!/bin/sh\n{comment}\necho looked at {name}\nexit {code}\n"
        (folder / f"{name}.sh").write_text(script)
    command = [sys.executable, folder / TABLE.name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout, done.returncode


def result_of(name, output):
    row = re.search(rf"^(.*?) +\d+  {name}$", output, re.MULTILINE)
    return row[1] if row else None


def test_a_fault_that_is_still_there_is_as_found(tmp_path):
    output, code = findings(tmp_path, zip=0)
    assert code == 0
    assert result_of("zip", output) == "as found"
    assert "The zip package drops bytes\n" in output
    assert "looked at" not in output


def test_a_fault_that_is_gone_is_changed_and_its_output_is_shown(tmp_path):
    output, code = findings(tmp_path, tar=1, zip=0)
    assert code == 1
    assert result_of("tar", output) == "changed" and result_of("zip", output) == "as found"
    assert "tar.sh ended differently:\n    looked at tar" in output
