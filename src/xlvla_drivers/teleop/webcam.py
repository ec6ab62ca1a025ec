"""A webcam and MediaPipe's hand landmarks: without glove or headset, but with a depth that is only
estimated from a hand's size.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from xlvla import human
from xlvla.errors import XlvlaError
from xlvla.pinhole import Pinhole
from xlvla.ranges import Range
from xlvla.types import SECOND, Side
from xlvla_drivers.cameras import v4l2
from xlvla_drivers.optional import installed
from xlvla_drivers.teleop.gestures import Gestures
from xlvla_drivers.teleop.operator import Mailbox, Sample, TrackedSide, lost

FACING = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Rotation [3, 3] from a camera (x right, y down, z ahead) to the world of an operator who looks at
it.
"""

MODEL = "Google's model file hand_landmarker.task"


@dataclass(frozen=True)
class Options:
    """Options in a rig's file. The camera is at the rig's `address`.

    Args:
        model: path of MediaPipe's `hand_landmarker.task`, which no package brings.
        capture: width and height of the pictures.
        fovy_deg: vertical field of view of the camera.
        gestures: thumb to little finger closes and opens the clutch, thumb to ring finger begins
            and ends an episode.
        camera: options of the camera driver `v4l2`.
    """

    model: str = ""
    capture: tuple[int, int] = (640, 480)
    fovy_deg: Annotated[float, Range(1, 170)] = 45.0
    gestures: bool = True
    camera: v4l2.Options = field(default_factory=v4l2.Options)


class Driver:
    """Detects hands in pictures, in a thread of its own."""

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Any):
        if not Path(options.model).is_file():
            raise XlvlaError(
                f"teleop.options.model: '{options.model}' is no file: download {MODEL} and say "
                "where it is"
            )
        self._vision = installed("mediapipe", "pip install mediapipe")
        self.address = address or "/dev/video0"
        self._camera = v4l2.Driver(self.address, options.capture, options.camera)
        self._sides = sides
        self._options = options
        self._gestures = Gestures() if options.gestures else None
        self._mailbox = Mailbox()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        self.close()
        self._mailbox.clear()
        self._camera.connect()
        self._stop.clear()
        self._thread = threading.Thread(target=self._watch, name="webcam", daemon=True)
        self._thread.start()

    def read(self, timeout_s: float) -> Sample | None:
        return self._mailbox.take(timeout_s)

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
            self._thread = None
        self._camera.disconnect()

    def _watch(self) -> None:
        """In a thread of its own, until `close`."""
        vision = self._vision.tasks.vision
        base = self._vision.tasks.BaseOptions(model_asset_path=self._options.model)
        options = vision.HandLandmarkerOptions(
            base_options=base, running_mode=vision.RunningMode.VIDEO, num_hands=2
        )
        lens = Pinhole.of_view(self._options.fovy_deg, self._options.capture).matrix
        try:
            with vision.HandLandmarker.create_from_options(options) as detector:
                while not self._stop.is_set():
                    frame = self._camera.read()
                    # The camera gives BGR.
                    pixels = np.ascontiguousarray(frame.pixels[..., ::-1])
                    picture = self._vision.Image(
                        image_format=self._vision.ImageFormat.SRGB, data=pixels
                    )
                    now_ms = time.monotonic_ns() // 1_000_000
                    detected = detector.detect_for_video(picture, now_ms)
                    self._mailbox.put(self._sample(detected, lens, frame.stamp_ns / SECOND))
        except (RuntimeError, ValueError) as error:
            self._mailbox.fail(XlvlaError(f"{self._options.model} cannot be used: {error}"))
        except XlvlaError as error:
            self._mailbox.fail(lost(error))

    def _sample(self, detected: Any, lens: np.ndarray, stamp_s: float) -> Sample:
        width, height = self._options.capture
        sides: dict[Side, TrackedSide] = {}
        hands: dict[Side, np.ndarray] = {}
        detections = zip(
            detected.handedness,
            detected.hand_landmarks,
            detected.hand_world_landmarks,
            strict=True,
        )
        for handedness, landmarks, world_landmarks in detections:
            side = self._side(handedness[0].category_name)
            if side is None:
                continue
            image = np.array([(point.x * width, point.y * height) for point in landmarks])
            points = np.array([(point.x, point.y, point.z) for point in world_landmarks])
            tracked = seen(side, points, image, lens)
            if tracked is not None:
                sides[side] = tracked
                hands[side] = points
        buttons: tuple[str, ...] = ()
        if self._gestures is not None:
            buttons = self._gestures(hands, time.monotonic())
        return Sample(sides, stamp_s=stamp_s, buttons=buttons)

    def _side(self, name: str) -> Side | None:
        """The side of a handedness, if the rig has it."""
        for side in self._sides:
            if side == name.lower():
                return side
        return None


def seen(side: Side, points: np.ndarray, image: np.ndarray, lens: np.ndarray) -> TrackedSide | None:
    """The hand whose points [21, 3] m appear at pixels [21, 2] of a camera [3, 3]; None where they
    are no hand.
    """
    import cv2

    fits, turn, place = cv2.solvePnP(points, image, lens, None, flags=cv2.SOLVEPNP_SQPNP)
    if not fits:
        return None
    rotation, _ = cv2.Rodrigues(turn)
    placed = points @ rotation.T + place.ravel()
    try:
        axes = human.hand_axes(side, placed)
    except XlvlaError:
        return None
    T_world_wrist = np.eye(4)
    T_world_wrist[:3, :3] = FACING @ axes
    T_world_wrist[:3, 3] = FACING @ placed[0]
    return TrackedSide(T_world_wrist, points)
