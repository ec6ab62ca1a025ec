"""A running rig as trials need it: let a policy drive and hold it, begin a scene, record, and see
the cameras.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from xlvla import graph
from xlvla.control_source import NOBODY, POLICY
from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.robot import rig_description
from xlvla.ros import camera_publisher, convert, forms, neighbours, statuses, topics
from xlvla.ros.reader import Reader
from xlvla.run import Supervisor
from xlvla_cli.ros.controls import Controls
from xlvla_cli.ros.operator import Operator

THERE_S = 12.0
"""How long a rig that runs may take to be heard of."""

RECORDS_S = 5.0
"""How long the recorder may take to say where it records."""

HOME_S = 60.0

ENGAGED = "engaged"
GOING_HOME = "going home"


class TrialDesk:
    """For one thread.

    Attributes:
        motion: what motion last said: plays, state, source; empty before.
        pictures: the newest of every camera, RGB uint8 [H, W, 3].
    """

    def __init__(self, operator: Operator, rig: Rig):
        self.operator = operator
        self.controls = Controls(operator, rig)
        self._rig = rig
        node = operator.node
        self._motion = Reader(node, topics.MOTION_STATUS, statuses.MOTION)
        self._descriptions = Reader(node, topics.ROBOT_DESCRIPTION)
        self._cameras: dict[str, Reader[Any]] = {}
        for name, camera in rig.cameras.items():
            topic = camera_publisher.seen(name, camera)
            self._cameras[name] = Reader(node, topic, forms.picture(*camera.publish))
        self.motion = dict[str, Any]()
        self.pictures = dict[str, np.ndarray]()

    @property
    def simulated(self) -> bool:
        """Whether a simulation sets the scene, and knows how far a trial came."""
        return bool(self._rig.sim or self._rig.mirrored)

    @property
    def engaged(self) -> bool:
        return self.motion.get("state") == ENGAGED

    def look(self) -> None:
        """Reads what is new of motion and the cameras."""
        self.motion = self._motion.newest() or self.motion
        for name, reader in self._cameras.items():
            message = reader.newest()
            if message is None:
                continue
            try:
                self.pictures[name] = convert.picture(message)
            except XlvlaError as error:
                reader.refuse(error)

    def refuse_unless_fit(self, start: str) -> None:
        """Raises XlvlaError where no rig runs here, another one does, or one with a policy.

        Args:
            start: the command that starts the rig.
        """
        give_up = time.monotonic() + THERE_S
        description = None
        while description is None or not self.motion:
            if time.monotonic() > give_up:
                raise XlvlaError(f"no rig is heard on this ROS domain: start it by `{start}`")
            time.sleep(0.05)
            self.look()
            description = self._descriptions.newest() or description
        if description.data != rig_description(self._rig).text:
            raise XlvlaError(f"another robot runs here than these trials are of: start `{start}`")
        policy = neighbours.beside(self.operator.node, "policy")
        if policy in neighbours.present(self.operator.node):
            raise XlvlaError(
                f"a policy runs here already ({policy}), and trials bring their own: start the rig "
                f"without one, by `{start}`"
            )
        task = self.operator.status().get("task", "")
        if self._rig.sim and task and task != self._rig.sim.task:
            raise XlvlaError(
                f"the task {task} is simulated here, the next trial is of {self._rig.sim.task}: "
                f"start `{start}`"
            )

    def hold(self) -> None:
        """Nobody's chunks are played: the robot brakes and holds."""
        self.operator.let_drive(NOBODY)

    def let_policy_drive(self) -> None:
        self.operator.let_drive(POLICY)

    def go_home(self) -> None:
        """Moves to where an episode starts, and waits until it is there; XlvlaError where it does
        not come there.
        """
        self.operator.call(topics.HOME)
        # What was said before it set out must not count as the arrival.
        give_up = time.monotonic() + HOME_S
        began_s = time.monotonic()
        set_out = False
        while time.monotonic() < give_up:
            self.look()
            state = self.motion.get("state")
            set_out = set_out or state == GOING_HOME or time.monotonic() > began_s + 1.0
            if set_out and state == ENGAGED:
                return
            if state not in (ENGAGED, GOING_HOME):
                raise XlvlaError(f"the robot does not go home: {state}")
            time.sleep(0.05)
        raise XlvlaError(f"the robot was not home within {HOME_S:.0f} s")

    def begin_recording(self) -> str:
        """Begins a recording; its folder, '' where the rig has no recorder."""
        if not self._rig.recorder:
            return ""
        self.operator.call(topics.RECORDER_START)
        give_up = time.monotonic() + RECORDS_S
        while time.monotonic() < give_up:
            status = self.controls.recording()
            if status.get("state") == "recording":
                return str(status["folder"])
            time.sleep(0.02)
        raise XlvlaError(f"the recorder does not say where it records ({RECORDS_S:.0f} s)")

    def end_recording(self) -> None:
        if self._rig.recorder:
            self.operator.call(topics.RECORDER_STOP)

    def mark(self, success: bool) -> None:
        """Notes in the last recording whether it succeeded."""
        if self._rig.recorder:
            self.operator.call(topics.RECORDER_MARK, data=success)


class PolicyProcess:
    """A policy as the only node that is started here; a context manager. What it prints goes into a
    file, since it names the policy.

    Args:
        rig: with the policy.
        domain: ROS domain; None keeps the environment's.
    """

    def __init__(self, rig: Rig, domain: int | None, log: Path):
        specs = [spec for spec in graph.nodes(rig) if spec.name == "policy"]
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self._file = log.open("a")
        self._supervisor = Supervisor(rig, specs, domain=domain, listener=self._note)

    def __enter__(self) -> PolicyProcess:
        self._supervisor.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._supervisor.stop()
        self._file.close()

    def wait_ready(self) -> None:
        self._supervisor.wait_ready(progress=lambda waiting: None)

    def check(self) -> None:
        """Raises NodeDied where it has ended."""
        self._supervisor.check()

    def _note(self, name: str, line: str) -> None:
        if not self._file.closed:
            self._file.write(f"{line}{os.linesep}")
            self._file.flush()
