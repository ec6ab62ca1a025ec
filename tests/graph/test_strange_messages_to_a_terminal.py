"""`xlvla run` shows whatever comes on the topics it hears as clean lines."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

rclpy = pytest.importorskip("rclpy")

from rclpy.context import Context
from stranger import PATIENCE_S, Stranger

from xlvla import rig_file
from xlvla.recording import RecorderConfig
from xlvla.run import own_domain


def test_a_rig_that_somebody_watches_takes_whatever_comes_and_its_terminal_stays_clean(tmp_path):
    rig = rig_file.load("teleop_scripted")
    domain = own_domain()
    path = replace(rig, recorder=RecorderConfig(folder=str(tmp_path))).save(tmp_path / "rig.yaml")
    command = [
        sys.executable,
        "-m",
        "xlvla",
        "run",
        str(path),
        "--without",
        "motion",
        "--domain",
        str(domain),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    lines: list[str] = []
    listener = threading.Thread(
        target=lambda: lines.extend(line.rstrip("\n") for line in process.stdout or ()), daemon=True
    )
    listener.start()

    def runs() -> None:
        assert process.poll() is None, "\n".join(lines)

    context = Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("stranger", context=context)
    try:
        stranger = Stranger(rig, node, runs, lines)
        stranger.until(lambda: any("is up" in line for line in lines), "the rig does not come up")
        stranger.say_all(stranger.targets(["operator"])["operator"].subscriptions)
        stranger.until(
            lambda: any("/diagnostics" in line and "refused)" in line for line in lines),
            lambda: f"it says nothing: {lines}",
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE_S) == 0, lines
        listener.join()
        assert any("/sim/status" in line and "refused)" in line for line in lines)
        assert any("box [a] and [/b]" in line for line in lines), "what is cued is shown as it is"
        assert all(line.isprintable() for line in lines), [
            line for line in lines if not line.isprintable()
        ]
        assert not any("Traceback" in line for line in lines)
    finally:
        process.kill()
        process.wait()
        node.destroy_node()
        rclpy.shutdown(context=context)
