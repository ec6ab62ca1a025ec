"""What the numbers an xArm reports mean (UFACTORY API and error code list)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xlvla_drivers.arms.xarm7_frames import PAUSED, RESET, SERVO_MODE, STOPPED
from xlvla_drivers.device import Fault

ERRORS = {
    1: "emergency stop pressed on the control box",
    2: "emergency stop input of the control box open",
    3: "emergency stop pressed on the enabling switch",
    18: "force-torque sensor does not answer",
    19: "end effector does not answer",
    21: "no kinematic solution",
    22: "the arm would collide with itself",
    23: "joint angle beyond its limit",
    24: "speed beyond its limit",
    25: "motion cannot be planned",
    26: "the controller missed its real-time deadline",
    27: "a joint answered wrongly",
    28: "end module does not answer",
    30: "measured speed beyond its limit",
    31: "collision: abnormal motor current",
    33: "digital input or output of the control box failed",
    35: "safety boundary reached",
    37: "the arm moved by itself in manual mode",
    38: "joint angle out of the ordinary",
    39: "power board failed",
    40: "joint trajectory has no solution",
    41: "friction data damaged",
    42: "calibration data damaged",
    50: "force-torque sensor cannot be read",
    51: "force-torque sensor mode not set",
    52: "force-torque sensor zero not set",
    53: "force-torque sensor overloaded",
    60: "tool speed beyond its limit in servo mode",
    110: "base board does not answer",
    111: "external RS-485 device does not answer",
}
"""Controller errors. All of them stop the arm; 10 + n is an error of joint n, told apart by its
servo code.
"""

WARNINGS = {
    11: "command queue full",
    12: "command with a wrong parameter",
    13: "unknown command",
    14: "command without a solution",
    15: "RS-485 queue full",
}
"""Controller warnings: the arm goes on."""

SERVO_ERRORS = {
    10: "current measurement failed",
    11: "current beyond its limit",
    12: "speed beyond its limit",
    14: "commanded position beyond its limit",
    15: "too hot",
    16: "encoder not initialised",
    17: "single-turn encoder failed",
    18: "multi-turn encoder failed",
    19: "encoder battery low",
    20: "motor driver failed",
    21: "motor driver not initialised",
    22: "encoder not configured",
    23: "does not follow: blocked or overloaded",
    26: "turned too far, positive end",
    27: "turned too far, negative end",
    28: "commanded while not enabled",
    33: "driver overloaded",
    34: "motor overloaded",
    35: "wrong motor type",
    36: "wrong driver type",
    39: "voltage too high",
    40: "voltage too low",
    49: "memory failed",
    52: "motor angle not initialised",
    58: "torque command came too late",
}

_STATES = {
    PAUSED: "paused by another client",
    STOPPED: "stopped",
    RESET: "not ready: enabled or switched to another mode elsewhere",
}


def faults(
    error: int, warning: int, servo: Sequence[int], joints: Sequence[str], state: int, mode: int
) -> Iterator[Fault]:
    """Everything the numbers report as wrong; `servo` is an error by joint."""
    axis = error - 10
    if 1 <= axis <= len(joints):
        code = servo[axis - 1]
        yield Fault(f"C{error}/S{code}", SERVO_ERRORS.get(code, "servo error"), joints[axis - 1])
    elif error:
        yield Fault(f"C{error}", ERRORS.get(error, "controller error"))
    if warning:
        yield Fault(f"W{warning}", WARNINGS.get(warning, "controller warning"), stops=False)
    if not error and state in _STATES:
        yield Fault(f"state {state}", _STATES[state])
    elif not error and mode != SERVO_MODE:
        yield Fault(f"mode {mode}", "switched out of servo mode by another client")
