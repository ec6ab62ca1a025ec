"""The rules an xArm controller obeys: when it moves, when it refuses, what stops it."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from math import inf, pi

import numpy as np

from xlvla import catalog
from xlvla.kinematics import Kinematics
from xlvla_drivers.arms import xarm7_frames as wire
from xlvla_drivers.emulators import xarm7_poses as poses
from xlvla_drivers.emulators.emulator import Faults
from xlvla_drivers.emulators.plant import Plant
from xlvla_drivers.hands import xarm_gripper_frames as gripper_wire

DEVICE_FAULTS = ("protective_stop", "emergency_stop", "over_speed", "over_temperature", "stall")

VERSION = b"7,7,XI1303,AC1303,v2.3.0"
SPEED = pi
"""Fastest joint motion [rad/s] (vendor data sheet)."""

FURTHEST_STEP = 0.1 * SPEED
"""A servo target farther than this from the joint [rad] is an error: it would take a speed beyond
the limit.
"""

_AXES = 7
_ALL = 8
_MOTION_END = 40
"""Bytes of the ten numbers of a motion, after which its flags stand."""
_RELATIVE_END = 44
_SPEEDS_END = 28
_SERVO_FLAG = 8
"""Number of a pose of servo mode that says whether it is in the tool's coordinates."""
_SERVO_VECTOR_END = 32
_REFERENCE = 25
"""Bytes of a pose and a flag, after which reference joints stand."""
_INVALID_ANSWER = bytes(128)
"""The vendor's SDK reads as many numbers as it asked for, also of what is invalid."""
_WRONG_PARAMETER = 12
_EMERGENCY_STOP = 1
_FIRST_SERVO = 11
_END_SILENT = 19
_JOINT_LIMIT = 23
_SPEED_LIMIT = 24
_COLLISION = 31
_TOO_HOT = 15
_NOT_FOLLOWING = 23
_HOT_JOINT = 4
_STALLED_JOINT = 3
_LAG_BEHIND = 0.15
"""As far as a stalled joint may stay behind [rad]."""
_ALL_ENABLED = 2**_AXES - 1
"""A bit per motor."""


class Controller:
    """One arm behind its controller; every method brings it up to now first.

    Attributes:
        plant: the joints.
        mode, state, error, warning: as the protocol numbers them.
        servo: (state, error) of each joint [7, 2].
        tool: pose of the tool at the flange [6], which all poses are of.
        end_effector: answers what is passed on to the end of the arm; None where nothing is there,
            and it answers None where it is silent.
    """

    def __init__(self, faults: Faults):
        arm = catalog.arm("xarm7")
        self._lower = arm.limits.lower
        self._upper = arm.limits.upper
        self._kinematics = Kinematics(arm.urdf_model, arm.joints)
        self._flange = arm.flange
        self.plant = Plant(np.zeros(_AXES), self._lower, self._upper, np.full(_AXES, SPEED))
        self.faults = faults
        self.mode = wire.POSITION_MODE
        self.state = wire.STOPPED
        self.error = 0
        self.warning = 0
        self.enabled = 0
        self.servo = np.zeros((_AXES, 2), dtype=np.uint8)
        self.load = np.zeros(4)
        self.tool = np.zeros(6)
        self._interrupted: np.ndarray | None = None
        self._speeds_end_s = inf
        self.end_effector: Callable[[bytes], bytes | None] | None = None

    @property
    def can_move(self) -> bool:
        ready = self.state not in (wire.PAUSED, wire.STOPPED, wire.RESET)
        return ready and self.enabled == _ALL_ENABLED and not self.error

    @property
    def temperature(self) -> np.ndarray:
        """[7] deg C."""
        celsius = np.full(_AXES, 35)
        if "over_temperature" in self.faults:
            celsius[_HOT_JOINT] = 85
        return celsius

    def advance(self) -> None:
        self.plant.stalled[_STALLED_JOINT] = "stall" in self.faults
        if time.monotonic() > self._speeds_end_s:
            self.plant.advance(self._speeds_end_s)
            self._speeds_end_s = inf
            self.plant.target = self.plant.position.copy()
        self.plant.advance()
        if "emergency_stop" in self.faults:
            self.stop(_EMERGENCY_STOP)
        if "over_temperature" in self.faults:
            self._servo_stop(_HOT_JOINT, _TOO_HOT)
        behind = np.abs(self.plant.target - self.plant.position)[_STALLED_JOINT]
        if "stall" in self.faults and behind > _LAG_BEHIND:
            self._servo_stop(_STALLED_JOINT, _NOT_FOLLOWING)
        if self.can_move:
            moving = np.abs(self.plant.velocity).max() > 1e-3
            self.state = wire.MOVING if moving else wire.SLEEPING

    def stop(self, error: int) -> None:
        """An error, unless there is one: the arm brakes and waits for it to be cleared."""
        if self.error:
            return
        self.error = error
        self.state = wire.STOPPED
        if error < _JOINT_LIMIT - 2:
            # Emergency stops and errors of joints cut the motors off.
            self.enabled = 0
        self._rest()

    def _rest(self) -> None:
        self.plant.halt()
        self._speeds_end_s = inf

    def _servo_stop(self, joint: int, code: int) -> None:
        if not self.error:
            self.servo[joint] = (3, code)
            self.stop(_FIRST_SERVO + joint)

    def answer(self, request: wire.Request) -> bytes:
        self.advance()
        does = _REGISTERS.get(request.register)
        payload = None
        if does is not None:
            try:
                payload = does(self, request.payload)
            except (struct.error, IndexError, ValueError):
                self.warning = _WRONG_PARAMETER
        flags = 0
        if self.error:
            flags |= wire.HAS_ERROR
        if self.warning:
            flags |= wire.HAS_WARNING
        if not self.can_move:
            flags |= wire.CANNOT_MOVE
        if payload is None:
            flags |= wire.INVALID
            payload = _INVALID_ANSWER
        return wire.reply(request, flags, payload)

    def enable(self, payload: bytes) -> bytes:
        axis = payload[0]
        on = payload[1]
        bits = _ALL_ENABLED if axis == _ALL else 1 << (axis - 1)
        if on and not self.error:
            self.enabled |= bits
        else:
            self.enabled &= ~bits
        self._rest()
        return b""

    def set_state(self, payload: bytes) -> bytes:
        """A pause interrupts a motion to a target, which goes on when the arm is made ready."""
        asked = payload[0]
        target = self.plant.target.copy()
        self._rest()
        if asked == wire.READY and not self.error and self.enabled:
            if self.state == wire.PAUSED and self._interrupted is not None:
                self.plant.command(self._interrupted)
            self._interrupted = None
            self.state = wire.SLEEPING
        elif asked in (wire.PAUSED, wire.STOPPED):
            if self.state != wire.PAUSED or asked == wire.STOPPED:
                self._interrupted = None
            if asked == wire.PAUSED and self.can_move and self.mode == wire.POSITION_MODE:
                self._interrupted = target
            self.state = asked
        return b""

    def set_mode(self, payload: bytes) -> bytes:
        if payload[0] != self.mode:
            self.mode = payload[0]
            self._interrupted = None
            if self.state != wire.STOPPED:
                # To be made ready again.
                self.state = wire.RESET
            self._rest()
        return b""

    def clean_error(self, _: bytes) -> bytes:
        self.error = 0
        self.servo[:] = 0
        # What is still wrong is an error again.
        self.advance()
        return b""

    def clean_warning(self, _: bytes) -> bytes:
        self.warning = 0
        return b""

    def move_servo(self, payload: bytes) -> bytes:
        """The newest target of servo mode replaces the one before; not while the arm cannot move or
        in another mode.
        """
        target = np.frombuffer(payload, "<f4", 10)[:_AXES].astype(float)
        if not self.can_move or self.mode != wire.SERVO_MODE:
            return b""
        if not self._within(target):
            self.stop(_JOINT_LIMIT)
        elif np.abs(target - self.plant.position).max() > FURTHEST_STEP:
            self.stop(_SPEED_LIMIT)
        else:
            self.plant.speed = np.full(_AXES, SPEED)
            self.plant.command(target)
        return b""

    def set_joint_velocity(self, payload: bytes) -> bytes:
        """Velocities [7] rad/s, until others are told, a duration has passed or joints reach their
        limits.
        """
        told = np.frombuffer(payload, "<f4", _AXES).astype(float)
        duration_s = 0.0
        if len(payload) > _SPEEDS_END + 1:
            (duration_s,) = struct.unpack_from("<f", payload, _SPEEDS_END + 1)
        if self.can_move and self.mode == wire.JOINT_VELOCITY_MODE and _finite(told):
            self._speeds_end_s = time.monotonic() + duration_s if duration_s > 0 else inf
            self.plant.speed = np.minimum(np.abs(told), SPEED)
            self.plant.command(np.where(told > 0, self._upper, self._lower))
        return b""

    def move_joint(self, payload: bytes) -> bytes:
        """To joints [7] at a speed [rad/s]; a way that is to be blended into the next one ends
        before it, too.
        """
        *target, speed, _, _ = struct.unpack_from("<10f", payload)
        check = _flag(payload, _MOTION_END)
        modes = (wire.POSITION_MODE, wire.ONLINE_JOINT_MODE)
        error = self._move(np.array(target), np.full(_AXES, speed), modes, check)
        return struct.pack(">HB", 0, error) if check else struct.pack(">H", 0)

    def move_line(self, payload: bytes) -> bytes:
        """To a pose of the tool, at its speed [mm/s]; the way there is the joints' straight one,
        which a real arm's is not. In the tool's coordinates a pose is relative to where it is.
        """
        *pose, speed, _, _ = struct.unpack_from("<9f", payload)
        # Newer firmware is told a radius and flags after that.
        in_tool, by_vector, check = (_flag(payload, _MOTION_END + flag) for flag in range(3))
        wanted = poses.understood(np.array(pose), by_vector)
        if in_tool:
            wanted = self._tool_at(self.plant.position) @ wanted
        return self._move_tool(wanted, speed, check)

    def move_relative(self, payload: bytes) -> bytes:
        """By joints [7] or a pose [6]."""
        *way, speed, _, _, _ = struct.unpack_from("<11f", payload)
        of_joints, by_vector, check = (_flag(payload, _RELATIVE_END + flag) for flag in range(3))
        if of_joints:
            target = self.plant.position + np.array(way)
            modes = (wire.POSITION_MODE, wire.ONLINE_JOINT_MODE)
            error = self._move(target, np.full(_AXES, speed), modes, check)
            return struct.pack(">HB", 0, error)
        here = self._tool_at(self.plant.position)
        return self._move_tool(poses.shifted(here, np.array(way), by_vector), speed, check)

    def _move_tool(self, wanted: np.ndarray, speed: float, check: bool) -> bytes:
        target = self._reach(wanted, self.plant.position)
        speeds = np.zeros(_AXES)
        if target is not None:
            here = self._tool_at(self.plant.position)
            way_m = np.linalg.norm(wanted[:3, 3] - here[:3, 3])
            lasts_s = max(1000 * way_m / max(speed, 1e-3), 1e-3)
            speeds = np.abs(target - self.plant.position) / lasts_s
        modes = (wire.POSITION_MODE, wire.ONLINE_CARTESIAN_MODE)
        return struct.pack(">HB", 0, self._move(target, speeds, modes, check))

    def _move(
        self, target: np.ndarray | None, speed: np.ndarray, modes: tuple[int, ...], check: bool
    ) -> int:
        """Goes to joints [7] at their speeds [7] rad/s in one of the modes; what cannot be reached
        stops the arm. Where it is only checked, nothing moves, and the error is returned.
        """
        possible = target is not None and self._within(target)
        error = 0 if possible else _JOINT_LIMIT
        if check:
            return error
        if self.can_move and self.mode in modes:
            if target is None or error:
                self.stop(error)
            else:
                self.plant.speed = np.clip(speed, 1e-3, SPEED)
                self.plant.command(target)
        return 0

    def move_servo_cartesian(self, payload: bytes) -> bytes:
        """The newest pose of servo mode, as `move_servo` takes joints."""
        pose = np.frombuffer(payload, "<f4", 9).astype(float)
        return self._servo_tool(pose, in_tool=pose[_SERVO_FLAG] != 0, by_vector=False)

    def move_servo_by_vector(self, payload: bytes) -> bytes:
        pose = np.frombuffer(payload, "<f4", 6).astype(float)
        (in_tool,) = struct.unpack_from("<i", payload, _SERVO_VECTOR_END)
        if _flag(payload, _SERVO_VECTOR_END + 4):
            raise ValueError("a pose of servo mode that is relative to the one before")
        return self._servo_tool(pose, in_tool != 0, by_vector=True)

    def _servo_tool(self, pose: np.ndarray, in_tool: bool, by_vector: bool) -> bytes:
        if not self.can_move or self.mode != wire.SERVO_MODE:
            return b""
        target = None
        if _finite(pose):
            wanted = poses.understood(pose, by_vector)
            if in_tool:
                wanted = self._tool_at(self.plant.position) @ wanted
            target = self._reach(wanted, self.plant.position)
        if target is None:
            self.stop(_JOINT_LIMIT)
            return b""
        return self.move_servo(target.astype("<f4").tobytes() + bytes(12))

    def inverse(self, payload: bytes) -> bytes | None:
        """Joints [7] of a pose, near reference joints where there are any; None where it is out of
        reach.
        """
        pose = np.frombuffer(payload, "<f4", 6).astype(float)
        near = self.plant.position
        if len(payload) >= _REFERENCE + 4 * _AXES:
            near = np.frombuffer(payload, "<f4", _AXES, _REFERENCE).astype(float)
        target = self._reach(poses.understood(pose), near) if _finite(pose) else None
        return None if target is None else target.astype("<f4").tobytes()

    def forward(self, payload: bytes) -> bytes:
        """The tool's pose [6] at joints [7]."""
        joints = np.frombuffer(payload, "<f4", _AXES).astype(float)
        return poses.told(self._tool_at(joints)).astype("<f4").tobytes()

    def beyond_joints(self, payload: bytes) -> bytes:
        """Whether joints [7] are outside their limits."""
        joints = np.frombuffer(payload, "<f4", _AXES)
        return bytes([bool(((joints < self._lower) | (joints > self._upper)).any())])

    def beyond_reach(self, payload: bytes) -> bytes:
        """Whether a pose [6] is out of reach."""
        return bytes([self.inverse(payload) is None])

    def _within(self, joints: np.ndarray) -> bool:
        """Whether joints [7] are in their limits; what is not a number is not."""
        within = (joints >= self._lower - 1e-3) & (joints <= self._upper + 1e-3)
        return bool(within.all())

    def _reach(self, wanted: np.ndarray, near: np.ndarray) -> np.ndarray | None:
        """Joints [7] that bring the tool to a pose [4, 4]; None where none were found."""
        if not np.isfinite(wanted).all():
            return None
        flange = wanted @ np.linalg.inv(poses.understood(self.tool))
        found = self._kinematics.ik(self._flange, flange, near)
        return found.q if found.ok else None

    def _tool_at(self, joints: np.ndarray) -> np.ndarray:
        """The tool's pose [4, 4] in the base."""
        flange = self._kinematics.fk(joints, [self._flange])[self._flange]
        return flange @ poses.understood(self.tool)

    def set_tool(self, payload: bytes) -> bytes:
        tool = np.frombuffer(payload, "<f4", 6).astype(float)
        if not _finite(tool):
            raise ValueError("no pose")
        self._rest()
        self.tool = tool
        return struct.pack(">H", 0)

    def restrict(self, payload: bytes) -> bytes:
        """What would restrict motion or mean other poses is only ever taken off."""
        if any(payload):
            raise ValueError("not emulated")
        return b""

    def set_load(self, payload: bytes) -> bytes:
        self.load = np.frombuffer(payload, "<f4", 4).astype(float)
        return struct.pack(">H", 0)

    def pass_on(self, payload: bytes) -> bytes | None:
        """To the end of the arm and back; an end that is silent is an error, which stops the
        arm.
        """
        answer = None if self.end_effector is None else self.end_effector(payload)
        if answer is None:
            self.stop(_END_SILENT)
        return answer

    def end_setting(self, payload: bytes) -> bytes:
        """A setting of the module at the end of the arm; only its baud rate is known."""
        _, register = struct.unpack(">BH", payload)
        if register != gripper_wire.BAUD:
            raise ValueError("no such setting")
        return gripper_wire.BAUDS.index(gripper_wire.GRIPPER_BAUD).to_bytes(4, "big")

    def joints(self, payload: bytes) -> bytes:
        """Position, and velocity and effort where the count asks for them."""
        count = payload[0] & 0x0F if payload else 1
        state = (self.plant.position, self.plant.velocity, np.zeros(_AXES))
        return np.concatenate(state[:count]).astype("<f4").tobytes()

    def pose(self, by_vector: bool = False) -> np.ndarray:
        """Tool in the base [6]: mm, and its turn [rad]."""
        return poses.told(self._tool_at(self.plant.position), by_vector)


def _flag(payload: bytes, position: int) -> bool:
    """A flag that older firmware and shorter requests leave out."""
    return len(payload) > position and payload[position] != 0


def _finite(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all())


def _text(text: bytes) -> bytes:
    return text.ljust(40, b"\0")


_REGISTERS: dict[int, Callable[[Controller, bytes], bytes | None]] = {
    wire.GET_VERSION: lambda arm, _: _text(VERSION),
    wire.GET_SERIAL: lambda arm, _: _text(b"XI1303\0AC1303"),
    wire.MOTION_ENABLE: Controller.enable,
    wire.SET_STATE: Controller.set_state,
    wire.GET_STATE: lambda arm, _: bytes([arm.state]),
    wire.GET_QUEUE: lambda arm, _: struct.pack(">H", 0),
    wire.GET_ERROR: lambda arm, _: bytes([arm.error, arm.warning]),
    wire.CLEAN_ERROR: Controller.clean_error,
    wire.CLEAN_WARNING: Controller.clean_warning,
    wire.SET_BRAKE: lambda arm, _: b"",
    wire.SET_MODE: Controller.set_mode,
    wire.MOVE_LINE: Controller.move_line,
    wire.MOVE_JOINT: Controller.move_joint,
    wire.MOVE_JOINT_BLENDED: Controller.move_joint,
    wire.MOVE_RELATIVE: Controller.move_relative,
    wire.JOINT_VELOCITY: Controller.set_joint_velocity,
    wire.MOVE_HOME: lambda arm, payload: arm.move_joint(bytes(4 * _AXES) + payload),
    wire.MOVE_SERVO: Controller.move_servo,
    wire.MOVE_SERVO_CARTESIAN: Controller.move_servo_cartesian,
    wire.MOVE_SERVO_ROTATION_VECTOR: Controller.move_servo_by_vector,
    wire.SET_TOOL: Controller.set_tool,
    wire.SET_LOAD: Controller.set_load,
    wire.GET_POSE: lambda arm, _: arm.pose().astype("<f4").tobytes(),
    wire.GET_POSE_ROTATION_VECTOR: lambda arm, _: arm.pose(by_vector=True).astype("<f4").tobytes(),
    wire.GET_JOINTS: Controller.joints,
    wire.GET_TORQUE: lambda arm, _: bytes(4 * _AXES),
    gripper_wire.RS485: Controller.pass_on,
    gripper_wire.END_MODULE: Controller.end_setting,
    wire.GET_IK: Controller.inverse,
    wire.GET_FK: Controller.forward,
    wire.IS_JOINT_LIMIT: Controller.beyond_joints,
    wire.IS_TCP_LIMIT: Controller.beyond_reach,
    **dict.fromkeys(wire.SETTINGS, lambda arm, _: b""),
    **dict.fromkeys(wire.RESTRICTIONS, Controller.restrict),
}
