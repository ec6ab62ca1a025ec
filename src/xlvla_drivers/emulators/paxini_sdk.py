"""Stands in for the vendor's `pxdex.dh13`, in front of the emulated DexH13 whose socket is the
hand's address.

It has the vendor's names and manners as far as public programs show them, and is served by the same
process. It is not the vendor's code, speaks no byte of the hand's wire, which is not published, and
proves nothing about either. Like the server it needs nothing but the standard library.
"""

import enum
import json
import os
import signal
import socket
import threading
from typing import Any

SILENCE_S = 1.0


class ControlMode(enum.Enum):
    NONE_CONTROL_MODE = 0
    TORQUE_CONTROL_MODE = 1
    SPEED_CONTROL_MODE = 2
    POSITION_CONTROL_MODE = 3


class FingerAngle:
    """Degrees: abduction, base, middle and last joint."""

    def __init__(
        self, joint1: float = 0.0, joint2: float = 0.0, joint3: float = 0.0, joint4: float = 0.0
    ):
        self.joint1 = joint1
        self.joint2 = joint2
        self.joint3 = joint3
        self.joint4 = joint4


class ForcePoint:
    def __init__(self, x, y, z):
        self.x = x
        self.y = y
        self.z = z


class FingerMotorsError:
    def __init__(self, finger_name, motor_ID, error_code):
        self.finger_name = finger_name
        self.motor_ID = motor_ID
        self.error_code = error_code


class DexH13Control:
    """One hand."""

    def __init__(self):
        self._socket = socket.socket(socket.AF_UNIX)
        self._lines = self._socket.makefile("rb")
        self._lock = threading.Lock()

    def activeHandy(self, hand_port, camera_port):
        """1 for a left hand."""
        self._socket.settimeout(SILENCE_S)
        self._socket.connect(hand_port)
        return self._call("side")

    def isConnectHandy(self):
        return self._call("online")

    def disconnectHandy(self):
        self._socket.close()
        return True

    def initMotorPosition(self):
        return self._call("home")

    def setMotorControlMode(self, mode):
        return self._call("set_mode", mode.value)

    def getMotorControlMode(self):
        return ControlMode(self._call("mode"))

    def setMotorMaxSpeed(self, rpm):
        return self._call("set_speed", rpm)

    def enableMotor(self):
        return self._call("enable", True)

    def disableMotor(self):
        return self._call("enable", False)

    def isMotorEnabled(self):
        return self._call("enabled")

    def setJointPositionsAngle(self, fingers):
        angles = []
        for finger in fingers:
            angles += [finger.joint1, finger.joint2, finger.joint3, finger.joint4]
        return self._call("go", angles, True)

    def setJointPositionsRadian(self, angles):
        return self._call("go", list(angles), False)

    def getJointPositionsAngle(self):
        angles = self._call("position", True)
        fingers = []
        for first in range(0, len(angles), 4):
            fingers.append(FingerAngle(*angles[first : first + 4]))
        return fingers

    def getJointPositionsRadian(self):
        return self._call("position", False)

    def getFingerTactile(self):
        return [ForcePoint(*force) for force in self._call("forces")]

    def getFingerTactileDetail(self):
        return [ForcePoint(*force) for force in self._call("points")]

    def getTemperature(self):
        return self._call("temperatures")

    def isFault(self):
        return bool(self._call("faults"))

    def getFaultCode(self):
        return [FingerMotorsError(*fault) for fault in self._call("faults")]

    def clearFaultCode(self):
        return self._call("clear")

    def _call(self, name, *arguments) -> Any:
        with self._lock:
            self._socket.sendall(json.dumps([name, arguments]).encode() + b"\n")
            line = self._lines.readline()
        answer = json.loads(line) if line else None
        if answer == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if answer is None:
            raise RuntimeError("the hand hung up")
        return answer[0]
