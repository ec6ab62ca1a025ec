"""An emulated leader arm: Dynamixel servos that somebody moves about the bimanual rig's home,
squeezing the gripper now and then.
"""

from __future__ import annotations

import threading
import time

import numpy as np

from xlvla import rig_file
from xlvla.types import Side
from xlvla_drivers.calibration import Calibration
from xlvla_drivers.emulators import dynamixel
from xlvla_drivers.teleop.leader import Options

SWING_RAD = 0.1
PERIOD_S = 6.0
GRASP_S = 8.0
MOVED_HZ = 100.0


class Emulator(dynamixel.Emulator):
    """One side's arm.

    Attributes:
        swing_rad: how far each joint is moved to either side.
    """

    def __init__(self, address: str, side: Side, options: Options):
        super().__init__(address, side, options.servos)
        home = np.array(list(rig_file.load("bimanual").home(side).values()))
        if len(home) != len(self.joints):
            # Another arm than that rig's.
            home = np.zeros(len(self.joints))
        self._home = home
        self._calibration = Calibration(self.joints, options.calibration.get(side, {}))
        self._servos = options.servos
        self.swing_rad = SWING_RAD
        self._stop = threading.Event()
        self._mover = None

    def start(self) -> None:
        self._stop.clear()
        self._move(0.0)
        super().start()
        self._mover = threading.Thread(target=self._keep_moving, name="leader's hand", daemon=True)
        self._mover.start()

    def stop(self) -> None:
        self._stop.set()
        if self._mover is not None:
            self._mover.join()
            self._mover = None
        super().stop()

    def _keep_moving(self) -> None:
        began_s = time.monotonic()
        while not self._stop.wait(1 / MOVED_HZ):
            self._move(time.monotonic() - began_s)

    def _move(self, time_s: float) -> None:
        # Every joint in a phase of its own, and all of them at home at first.
        phase = np.arange(len(self.joints))
        swing = np.sin(2 * np.pi * time_s / PERIOD_S + phase) - np.sin(phase)
        angles = self._home + self.swing_rad * swing
        grip = 0.5 - 0.5 * np.cos(2 * np.pi * time_s / GRASP_S)
        opened = self._servos.gripper_open_deg
        closed = self._servos.gripper_closed_deg
        with self._lock:
            self.plant.place(self._calibration.device(angles))
            self.gripper_deg = opened + grip * (closed - opened)
