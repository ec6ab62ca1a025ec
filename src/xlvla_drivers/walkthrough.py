"""Calibrates a device with a person's help: the person brings each joint to marked angles, the
device says what it measures there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xlvla.device import JointCalibration
from xlvla.errors import XlvlaError
from xlvla_drivers.device import Device, LinkLost

REACHABLE = math.radians(120)
"""A limit further than this from the first mark is not gone to; a right angle is."""

LONGEST_JOG = math.radians(15)
JOG_RAD_S = 0.5
JOG_HZ = 100.0
LONGEST_STEP_S = 0.03
SETTLE_S = 0.2
STILL_READINGS = 10
STILL_PAUSE_S = 0.02
STILL_RAD = 0.02
TOO_LITTLE = math.radians(10)
TRUSTED_GAIN = 0.15


@dataclass(frozen=True)
class Mark:
    """An angle [rad] of a joint that a person can find."""

    angle: float
    label: str


@dataclass(frozen=True)
class Fit:
    """What the readings at a joint's marks say: its calibration, and how far the worst mark is off
    it [rad].
    """

    calibration: JointCalibration
    residual: float


class Skipped(Exception):
    """The person skips this joint."""


def marks(lower: float, upper: float) -> tuple[Mark, Mark]:
    """Zero, or the limit nearest to it, and the limit furthest from there, or a right angle where
    that is too far.
    """
    zero = min(max(0.0, lower), upper)
    first = Mark(zero, "its zero" if zero == 0 else "the limit next to its zero")
    end = upper if upper - zero >= zero - lower else lower
    if abs(end - zero) > REACHABLE:
        return first, Mark(
            zero + math.copysign(math.pi / 2, end - zero), "a right angle from there"
        )
    return first, Mark(end, "its upper limit" if end == upper else "its lower limit")


def fit(
    angles: Sequence[float], readings: Sequence[float], *, scaled: bool = False, snap: float = 0.0
) -> Fit:
    """joint angle = sign * scale * reading + offset, by least squares.

    Args:
        scaled: fit the scale too; otherwise it is 1, and readings that contradict that raise
            XlvlaError.
        snap: offsets are multiples of this [rad], as of a servo whose horn fits in steps.
    """
    joint = np.asarray(angles, dtype=float)
    device = np.asarray(readings, dtype=float)
    moved = device - device.mean()
    if np.ptp(device) < TOO_LITTLE:
        raise XlvlaError(
            f"it moved by {math.degrees(np.ptp(device)):.1f} deg only, by "
            f"{math.degrees(np.ptp(joint)):.1f} deg was asked"
        )
    slope = float(joint @ moved / (moved @ moved))
    if not scaled and abs(abs(slope) - 1) > TRUSTED_GAIN:
        raise XlvlaError(
            f"it moved by {abs(1 / slope):.2f} times what was asked: try again, or choose --scale "
            "if the device counts so"
        )
    sign = math.copysign(1.0, slope)
    scale = abs(slope) if scaled else 1.0
    offset = float(np.mean(joint - sign * scale * device))
    if snap:
        offset = round(offset / snap) * snap
    residual = float(np.abs(joint - (sign * scale * device + offset)).max())
    return Fit(JointCalibration(sign, round(offset, 5), round(scale, 5)), residual)


class Walk:
    """One device and the person in front of it. Only a jog that the person asks for moves the
    device.

    Args:
        device: connected; its angles are those of its data sheet.
        ask: shows a question and gives the answer; EOFError when nobody answers any more.
        say: shows a line.
    """

    def __init__(self, device: Device, ask: Callable[[str], str], say: Callable[[str], None]):
        self._device = device
        self._ask = ask
        self._say = say

    def joint(
        self, index: int, at: Sequence[Mark], *, scaled: bool = False, snap: float = 0.0
    ) -> Fit:
        """Leads through the marks of one joint until they make sense; raises Skipped."""
        name = self._device.joints[index]
        while True:
            readings = np.array([self._reading(name, index, mark) for mark in at])
            moved = np.ptp(readings, axis=0)
            try:
                if moved[index] < TOO_LITTLE < moved.max():
                    raise XlvlaError(
                        f"{self._device.joints[int(moved.argmax())]} moved instead: check cables "
                        "and ids"
                    )
                return fit(
                    [mark.angle for mark in at],
                    readings[:, index].tolist(),
                    scaled=scaled,
                    snap=snap,
                )
            except XlvlaError as error:
                self._say(f"  {name}: {error}. Once more.")

    def _reading(self, name: str, index: int, mark: Mark) -> np.ndarray:
        """Device angles [J] rad with the joint at the mark."""
        question = (
            f"{name}: bring it to {math.degrees(mark.angle):.1f} deg ({mark.label}), then Enter"
        )
        while True:
            answer = self._answer(f"{question} [+10 or -10 jogs by degrees, s skips, q quits]: ")
            try:
                if answer == "":
                    return self._still()
                self._jog(index, math.radians(float(answer)))
            except LinkLost as error:
                self._find_again(error)
            except ValueError:
                self._say(f"  '{answer}' is neither Enter, a number of degrees, s nor q")
            except XlvlaError as error:
                self._say(f"  {error}")

    def _find_again(self, lost: LinkLost) -> None:
        """Until the device is there, or the person quits."""
        reason: LinkLost | None = lost
        while reason:
            self._say(f"  {reason}")
            self._answer("Mend that, then Enter [q quits]: ")
            try:
                self._device.connect()
                reason = None
            except LinkLost as error:
                reason = error

    def _answer(self, question: str) -> str:
        try:
            answer = self._ask(question).strip()
        except EOFError:
            answer = "q"
        if answer == "q":
            raise KeyboardInterrupt
        if answer == "s":
            raise Skipped
        return answer

    def _still(self) -> np.ndarray:
        """The mean of some readings [J] rad, if nothing moves meanwhile."""
        readings = []
        for _ in range(STILL_READINGS):
            readings.append(self._device.read().position)
            time.sleep(STILL_PAUSE_S)
        spread = np.ptp(readings, axis=0)
        if spread.max() > STILL_RAD:
            raise XlvlaError(
                f"{self._device.joints[int(spread.argmax())]} is moving: hold it still, then Enter"
            )
        return np.mean(readings, axis=0)

    def _jog(self, index: int, by: float) -> None:
        """Drives one joint slowly, in the device's own direction; the others are held."""
        if abs(by) > LONGEST_JOG:
            raise XlvlaError(f"a jog is at most {math.degrees(LONGEST_JOG):.0f} deg")
        position = self._device.read().position.copy()
        start = position[index]
        gone = 0.0
        then_s = time.monotonic()
        sent = {}
        while gone < abs(by):
            time.sleep(1 / JOG_HZ)
            now_s = time.monotonic()
            gone = min(gone + JOG_RAD_S * min(now_s - then_s, LONGEST_STEP_S), abs(by))
            then_s = now_s
            position[index] = start + math.copysign(gone, by)
            sent = self._device.write(
                dict(zip(self._device.joints, position.tolist(), strict=True))
            )
            self._device.read()
        time.sleep(SETTLE_S)
        if sent and abs(sent[self._device.joints[index]] - position[index]) > STILL_RAD:
            self._say("  the device goes no further, or is moved by hand alone")
