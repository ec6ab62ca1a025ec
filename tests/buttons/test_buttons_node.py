"""The node of a pedal or gamepad on the graph: orders go out, a stop is never waited for nor ended
while it is pressed, and what is unplugged holds nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy")
pytest.importorskip("evdev", reason="pip install evdev-binary")

import pressed

from xlvla import rig_file
from xlvla.graph import chosen, within
from xlvla.ros import forms, participant, statuses, supervision, topics
from xlvla.ros.reader import Reader
from xlvla.ros.stop import StopPublisher, StopReader
from xlvla.ros.wiring import wiring
from xlvla.run import Supervisor, own_domain
from xlvla_cli.ros.operator import Operator

DOES = {"KEY_A": "record", "KEY_C": "estop"}
PATIENCE_S = 30.0


def until(true, otherwise, seconds=PATIENCE_S):
    give_up_s = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < give_up_s, otherwise
        time.sleep(0.01)
    return value


class Bench:
    """The node, its keys, and somebody who listens."""

    def __init__(self, folder: Path, operator: Operator, rig: str, namespace: str):
        self.operator = operator
        self.namespace = within(namespace)
        self.keys = pressed.Keys(folder, [*DOES, "KEY_B"])
        document = rig_file.load(rig).document()
        held = {} if document["teleop"] is None else {"KEY_B": "hold"}
        pedal = {"type": "foot_pedal", "address": self.keys.path, "keys": DOES | held}
        document["buttons"] = {"pedal": pedal}
        document["recorder"] = {"folder": str(folder / "recordings")}
        self.rig = rig_file.from_document(document, "test")
        self.lines: list[str] = []
        self._folder = folder
        self.buttons = Reader(operator.node, topics.BUTTON, forms.WORDS)
        self.stops = StopReader(operator.node)
        self._process: subprocess.Popen[str] | None = None

    def start(self, **config) -> None:
        document = self.rig.document()
        document["buttons"]["pedal"] |= config
        path = self._folder / "rig.yaml"
        path.write_text(yaml.safe_dump(document))
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(own_domain()),
            "RCUTILS_CONSOLE_OUTPUT_FORMAT": "{severity}: {message}",
            "RCUTILS_COLORIZED_OUTPUT": "0",
            supervision.PARENT: str(os.getpid()),
            pressed.FOLDER: str(self._folder),
        }
        parameters = ["-p", f"rig:={path}", "-p", "part:=pedal", "-r", "__node:=buttons_pedal"]
        if self.namespace:
            parameters += ["-r", f"__ns:={self.namespace}"]
        self._process = subprocess.Popen(
            [sys.executable, pressed.__file__, "--ros-args", *parameters],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()
        self.until_there()

    def _listen(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.strip())

    def until_there(self) -> None:
        """The keys are read, and what they do is heard."""

        def heard():
            status = self.operator.figures().get("buttons_pedal", {})
            return (
                self.operator.node.count_publishers(self.namespace + topics.BUTTON.name) > 1
                and status
            )

        until(heard, f"the node does not start: {self.lines}")

    def pressed(self, *keys: str) -> None:
        self.keys.press(*keys)
        self.keys.release(*keys)

    def close(self) -> None:
        self.keys.close()
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(timeout=10) == 0


@pytest.fixture
def bench(tmp_path, request):
    rig, namespace = getattr(request, "param", ("bimanual", ""))
    with Operator(domain=own_domain(), namespace=namespace) as operator:
        made = Bench(tmp_path, operator, rig, namespace)
        yield made
        made.close()


def stopped(bench):
    """What was said of stops since the last look."""
    return [(order.stopped, order.by) for order in bench.stops.every()]


def about(bench, word):
    return [line for line in bench.lines if word in line]


def test_keys_record_and_stop_and_a_stop_is_not_ended_while_it_is_pressed(bench):
    bench.start()
    # A new subscription is found a moment after the publisher is.
    until(
        lambda: bench.pressed("KEY_A") or bench.buttons.newest() == "record", "nothing is pressed"
    )
    bench.keys.press("KEY_A")
    bench.keys.press("KEY_C")
    until(lambda: (True, "buttons_pedal") in stopped(bench), "the stop is not heard", 5.0)
    motion = StopPublisher(bench.operator.node, "motion")
    try:
        motion.say(False)
        again = (True, "buttons_pedal")
        until(lambda: again in stopped(bench), "a stop that is pressed was ended", 5.0)
        bench.keys.release("KEY_A", "KEY_C")
        time.sleep(0.3)
        stopped(bench)
        motion.say(False)
        time.sleep(0.5)
        assert again not in stopped(bench)
    finally:
        motion.close()


@pytest.mark.long  # discovery is waited for
def test_a_stop_that_motion_ended_is_not_kept_for_drivers_that_start_later(bench):
    def starts_later():
        node = participant.node_of_its_own("later", own_domain())
        reader = StopReader(node)
        time.sleep(3.0)
        found = [order.by for order in reader.every() if order.stopped]
        participant.leave(node)
        return found

    bench.start()
    bench.pressed("KEY_C")
    until(lambda: (True, "buttons_pedal") in stopped(bench), "the stop is not heard", 5.0)
    assert starts_later() == ["buttons_pedal"]
    motion = StopPublisher(bench.operator.node, "motion")
    try:
        motion.say(False)
        time.sleep(1.0)
    finally:
        motion.close()
    assert not starts_later()


@pytest.mark.parametrize(
    "bench", [("teleop_keyboard", ""), ("teleop_keyboard", "lab")], indirect=True, ids=str
)
def test_what_a_node_of_buttons_is_said_to_publish_hear_and_call_is_what_it_does(bench):
    bench.start()
    (wires,) = [wires for name, wires in wiring(bench.rig).items() if name == "buttons_pedal"]
    node = bench.operator.node

    def named(entries):
        of_messages = ("std_msgs", "std_srvs", "diagnostic")
        return {name for name, types in entries if types[0].startswith(of_messages)}

    def told(entries):
        return {bench.namespace + entry.name for entry in entries}

    of_node = ("buttons_pedal", bench.namespace or "/")
    assert named(node.get_publisher_names_and_types_by_node(*of_node)) == told(wires.publishes)
    # A simulation's clock is of another package.
    heard = [topic for topic in wires.subscribes if topic != topics.CLOCK]
    assert named(node.get_subscriber_names_and_types_by_node(*of_node)) == told(heard)
    assert named(node.get_client_names_and_types_by_node(*of_node)) == told(wires.calls)


def test_what_is_unplugged_is_one_line_and_so_is_its_return(bench):
    bench.start()
    bench.keys.press("KEY_A")
    bench.keys.unplug()
    until(lambda: about(bench, "unplugged"), "nothing is said of it")
    time.sleep(1.0)
    assert len(about(bench, "WARN")) == 1
    status = until(lambda: bench.operator.figures().get("buttons_pedal"), "no diagnostics")
    assert status
    bench.keys.plug()
    until(lambda: about(bench, "is there again"), "its return is not noticed")
    list(bench.buttons.every())
    bench.pressed("KEY_A")
    until(lambda: bench.buttons.newest() == "record", "it does nothing after its return")
    assert len(about(bench, "WARN")) == 1
    assert not any(was_stopped for was_stopped, _ in stopped(bench))


def test_a_rig_may_be_stopped_when_its_pedal_is_lost(bench):
    bench.start(stop_when_lost=True)
    stopped(bench)
    bench.keys.unplug()
    until(lambda: (True, "buttons_pedal") in stopped(bench), "the robot goes on")


@pytest.mark.long
@pytest.mark.realtime
@pytest.mark.parametrize("bench", [("teleop_keyboard", "")], indirect=True, ids=str)
def test_on_a_running_rig_keys_work_the_clutch_the_recorder_and_the_stop(bench):
    specs = chosen(bench.rig, without=["buttons_pedal"])
    node = bench.operator.node
    teleop = Reader(node, topics.TELEOP_STATUS, statuses.TELEOP)
    recorder = Reader(node, topics.RECORDER_STATUS, statuses.RECORDER)
    motion = Reader(node, topics.MOTION_STATUS, statuses.MOTION)
    newest = {}

    def seen(reader):
        newest[reader] = reader.newest() or newest.get(reader)
        return newest[reader]

    def clutched():
        return any(side["clutched"] for side in (seen(teleop) or {"sides": {}})["sides"].values())

    def recording():
        return (seen(recorder) or {}).get("state") == "recording"

    with Supervisor(bench.rig, specs, domain=own_domain()) as supervisor:
        supervisor.wait_ready()
        bench.operator.reset()
        bench.start()
        until(lambda: (seen(motion) or {}).get("plays"), "motion does not play")
        until(lambda: bench.operator.figures().get("buttons_pedal"), "no buttons")

        def held():
            bench.keys.release("KEY_B")
            bench.keys.press("KEY_B")
            time.sleep(0.5)
            return clutched()

        until(held, "the clutch does not close")
        bench.pressed("KEY_A")
        until(recording, "nothing is recorded")
        bench.keys.unplug()
        until(lambda: not clutched(), "a pedal that is gone holds the clutch")
        assert recording(), "what was not held goes on"
        bench.keys.plug()
        until(lambda: about(bench, "is there again"), "its return is not noticed")
        bench.keys.press("KEY_A", "KEY_B")
        until(lambda: not recording(), "the recording does not end")
        bench.keys.press("KEY_C")
        until(lambda: not (seen(motion) or {"plays": True})["plays"], "the robot is not stopped")
        until(lambda: not clutched(), "the clutch stays closed")
