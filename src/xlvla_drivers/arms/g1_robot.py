"""A G1 on its DDS topics: what it last said, and commands to all its motors. Not beside rclpy
(`g1_dds`).
"""

from __future__ import annotations

import time
from collections import Counter

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import SECOND
from xlvla_drivers import thread_clock
from xlvla_drivers.arms import g1_dds as dds
from xlvla_drivers.arms import g1_frames as wire
from xlvla_drivers.arms import g1_remote
from xlvla_drivers.arms.g1 import HEAR_S, Options, split_address
from xlvla_drivers.device import LINK_TIMEOUT_S, LinkLost
from xlvla_drivers.punctuality import Punctuality

GONE_S = 1.0
"""A robot silent for this long is switched off or unplugged."""

REMOTE_GONE_S = 0.5
"""A remote of which nothing was heard for this long is lost."""

RIVAL_S = 0.3
"""In which another program that commands the robot is heard; the slowest published one sends at 50
Hz.
"""

WITH_23_JOINTS = (4, 10)
WITH_29_JOINTS = (5, 6, *range(11, 17))
"""Values of mode_machine by how many joints there are; with 23, wrists only roll (unitree_ros,
description of the G1).
"""
UNSTATED = 0
"""What Unitree's simulators may say."""

_ANKLES = (4, 5, 10, 11)
_WRISTS = np.r_[19:22, 26:29]


class Robot:
    """Heard and commanded by whoever calls; it has no thread.

    Attributes:
        q, dq, torque, temperature, errors: of the newest sound LowState, by motor [29] (temperature
            [29, 2], casing and winding).
        stamp_ns, received_s: its arrival by the system's and by the monotonic clock.
        battery: what it last said of its battery, None before.
        remote: whether it hears its remote.
    """

    def __init__(self, address: str, options: Options):
        self.address = address
        self.options = options
        self.counts: Counter[str] = Counter()
        self._bus = dds.Bus(*split_address(address))
        self._reader = self._bus.reader(wire.STATE_TOPIC, dds.LowState)
        self._batteries = self._bus.reader(wire.BATTERY_TOPIC, dds.BmsState)
        self._topic = wire.ARM_TOPIC if options.way == "arm_sdk" else wire.LOW_TOPIC
        # Samples, not matched writers, tell of another program: a dead one's writer stays matched
        # for seconds.
        self._rivals = self._bus.reader(self._topic, dds.LowCmd)
        self._writer = None
        self._command = wire.LOW_CMD.new()
        self._kp, self._kd = _gains(options)
        self._punctuality = Punctuality()
        self._sent_ns = 0
        self._tick = -1
        self._stops = g1_remote.combinations(options.remote_stops)
        self.battery: np.ndarray | None = None
        self.remote = False
        self._pressed = ""
        # When its remote was last heard [s, thread_clock]; None before.
        self._remote_s: float | None = None
        self.mode_machine = 0
        self._mode_machine = 0
        self.stamp_ns = 0
        self.received_s = 0.0
        self._received_awake_s = 0.0

    def wait(self) -> None:
        """Until it has spoken and nobody else turns out to command it; XlvlaError says what is
        wrong.
        """
        until_s = time.monotonic() + HEAR_S
        while not self.received_s:
            if time.monotonic() > until_s:
                raise LinkLost(
                    f"no {wire.STATE_TOPIC} within {HEAR_S:.0f} s: is the robot on, and this its "
                    "network interface?"
                )
            time.sleep(0.005)
            self.listen()
        if self.mode_machine in WITH_23_JOINTS:
            raise XlvlaError(
                f"this G1 has 23 joints (mode_machine {self.mode_machine}), arms of 7 need one "
                "with 29"
            )
        if self.mode_machine not in (*WITH_29_JOINTS, UNSTATED):
            known = ", ".join(map(str, WITH_29_JOINTS))
            raise XlvlaError(
                f"this G1 says mode_machine {self.mode_machine}, known with 29 joints are {known}: "
                "its firmware or its body is another, and it is not commanded"
            )
        self._mode_machine = self.mode_machine
        time.sleep(RIVAL_S)
        if list(dds.samples(self._rivals)):
            raise XlvlaError(
                f"another program writes {self._topic}: end it" + _HOW_TO_RELEASE[self.options.way]
            )
        self._writer = self._bus.writer(self._topic, dds.LowCmd)
        self.listen()

    def is_there(self) -> bool:
        """Whether it has spoken within `GONE_S`, all that has arrived taken."""
        self.listen()
        return thread_clock.now_s() - self._received_awake_s < GONE_S

    def is_reporting(self) -> bool:
        """Whether it has spoken lately."""
        return thread_clock.now_s() - self._received_awake_s < LINK_TIMEOUT_S

    @property
    def stopped(self) -> str:
        """Why its arms are not ours now, '' where they may be."""
        if self._pressed:
            return f"{self._pressed} on its remote"
        if self.mode_machine != self._mode_machine:
            return f"its mode_machine, {self.mode_machine} after {self._mode_machine}"
        return ""

    @property
    def remote_lost(self) -> bool:
        """Whether it heard its remote, and does not any more."""
        if self._remote_s is None:
            return False
        return thread_clock.now_s() - self._remote_s > REMOTE_GONE_S

    def listen(self) -> None:
        for data, _ in dds.samples(self._batteries):
            self.battery = wire.battery(data)
        for data, sent_ns in dds.samples(self._reader):
            state = wire.LOW_STATE.decode(data)
            if state is None:
                self.counts["truncated"] += 1
            elif not wire.is_sound(state):
                self.counts["corrupt"] += 1
            else:
                self._take(state, sent_ns)

    def _take(self, state: np.ndarray, sent_ns: int) -> None:
        """Only what is newer than all before counts."""
        self.counts["late"] += self._punctuality.is_late(sent_ns / SECOND, time.monotonic())
        tick = int(state["tick"])
        if tick == self._tick:
            self.counts["duplicated"] += 1
            return
        if sent_ns <= self._sent_ns:
            self.counts["unexpected"] += 1
            return
        motors = state["motor_state"][: wire.JOINTS]
        self._sent_ns = sent_ns
        self._tick = tick
        self.mode_machine = int(state["mode_machine"])
        self.stamp_ns = time.time_ns()
        self.received_s = time.monotonic()
        self._received_awake_s = thread_clock.now_s()
        self.q = motors["q"]
        self.dq = motors["dq"]
        self.torque = motors["tau_est"]
        self.temperature = motors["temperature"]
        self.errors = motors["motorstate"]
        self._pressed = g1_remote.pressed(state["wireless_remote"], self._stops)
        self.remote = g1_remote.is_heard(state["wireless_remote"])
        if self.remote:
            self._remote_s = self._received_awake_s

    def command(self, q: np.ndarray, torque: np.ndarray, weight: float) -> None:
        """Angles [29] rad for every motor and the torques [29] Nm that they add, ours against the
        robot's own by the weight.

        rt/lowcmd knows no weight: stiffness and torque come and go with it, damping stays.
        """
        assert self._writer is not None, "wait first"
        command = self._command
        motors = command["motor_cmd"]
        # rt/arm_sdk leaves the legs to the robot.
        first = wire.WAIST.start if self.options.way == "arm_sdk" else 0
        mine = slice(first, wire.JOINTS)
        command["mode_machine"] = self.mode_machine
        motors["mode"][mine] = 1
        motors["q"][mine] = q[mine]
        motors["tau"][mine] = torque[mine]
        motors["kp"][mine] = self._kp[mine]
        motors["kd"][mine] = self._kd[mine]
        if self.options.way == "arm_sdk":
            motors["q"][wire.WEIGHT] = weight
        else:
            motors["kp"][mine] *= weight
            motors["tau"][mine] *= weight
        self._writer.write(dds.LowCmd.of(wire.LOW_CMD.encode(command)))


_HOW_TO_RELEASE = {
    "arm_sdk": "",
    "lowcmd": ", or release the robot's motion service (L2+R2 on its remote)",
}


def _gains(options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Stiffness and damping by motor [29]: arms and ankles are weaker than legs and waist, wrists
    weaker still.
    """
    kp = np.full(wire.JOINTS, options.body_kp)
    kd = np.full(wire.JOINTS, options.body_kd)
    weaker = [*_ANKLES, *range(wire.WAIST.stop, wire.JOINTS)]
    kp[weaker] = options.arm_kp
    kd[weaker] = options.arm_kd
    kp[_WRISTS] = options.wrist_kp
    kd[_WRISTS] = options.wrist_kd
    return kp, kd
