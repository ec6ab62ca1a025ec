"""Runs every script beside it and prints what each shows, and whether it is still so."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

WIDTH = 60


def summary(script: Path) -> str:
    """The first sentence of a script's comment, without the versions in brackets."""
    lines = [line.removeprefix("#").strip() for line in script.read_text().splitlines()[1:] if line.startswith("#")]
    text = " ".join(lines).partition(" Expected:")[0]
    return text.partition(" (")[0].rstrip(".")


def main() -> int:
    scripts = sorted(Path(__file__).parent.glob("*.sh"))
    print(f"{'result':8}  {'seconds':>7}  finding")
    changed = []
    for script in scripts:
        began = time.monotonic()
        done = subprocess.run(["sh", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        result = "as found" if done.returncode == 0 else "changed"
        print(f"{result:8}  {time.monotonic() - began:7.0f}  {script.stem}")
        print(textwrap.indent(textwrap.fill(summary(script), WIDTH), " " * 19), flush=True)
        if done.returncode:
            changed.append((script, done.stdout))
    for script, output in changed:
        print(f"\n{script.name} ended differently:\n{textwrap.indent(output, '    ')}")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
