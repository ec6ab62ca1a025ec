"""Runs every script beside it and prints what each shows, and whether it is still so."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

INDENT = " " * 19
WIDTH = 60


def summary(script: Path) -> str:
    """The first sentence of a script's comment, without the versions in brackets."""
    lines = script.read_text().splitlines()[1:]
    comment = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    sentence = " ".join(comment).partition(" Expected:")[0]
    return sentence.partition(" (")[0].rstrip(".")


def main() -> int:
    """Prints the table, then the output of every script that ended differently; 1 if one did."""
    outputs = {}
    print(f"{'result':8}  {'seconds':>7}  finding")
    for script in sorted(Path(__file__).parent.glob("*.sh")):
        began = time.monotonic()
        done = subprocess.run(["sh", script], capture_output=True, text=True)
        seconds = time.monotonic() - began
        result = "as found" if done.returncode == 0 else "changed"
        print(f"{result:8}  {seconds:7.0f}  {script.stem}")
        print(textwrap.indent(textwrap.fill(summary(script), WIDTH), INDENT))
        sys.stdout.flush()
        if done.returncode != 0:
            outputs[script.name] = done.stdout + done.stderr
    for name, output in outputs.items():
        print(f"\n{name} ended differently:\n{textwrap.indent(output, '    ')}")
    return 1 if outputs else 0


if __name__ == "__main__":
    sys.exit(main())
