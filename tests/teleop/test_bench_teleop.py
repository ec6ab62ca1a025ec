"""`xlvla bench teleop`: every sample finds its command."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("rclpy")


def test_samples_become_chunks_and_commands_and_are_timed(tmp_path):
    out = tmp_path / "figures.json"
    command = [
        sys.executable,
        "-m",
        "xlvla",
        "bench",
        "teleop",
        "--sources",
        "topics",
        "--seconds",
        "2",
        "--out",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())["topics"]
    assert figures["rate_hz"] > 0
    assert figures["sample_to_chunk_ms"]["p50"] < figures["sample_to_command_ms"]["p50"], (
        "a command follows its chunk"
    )
    assert set(figures["share_of_a_core"]) >= {"teleop", "motion"}
