"""A webcam and MediaPipe's hand landmarks: no glove and no headset, at the price of depth that is
only guessed from a hand's size.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xlvla import human
from xlvla.errors import XlvlaError
from xlvla.pinhole import Pinhole
from xlvla.types import SECOND, SIDES, Side
from xlvla_drivers.cameras import v4l2
from xlvla_drivers.device import LinkLost
from xlvla_drivers.teleop.gestures import Gestures
from xlvla_drivers.teleop.operator import Mailbox, Sample, TrackedSide, installed

FACING = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Directions of a camera (x right, y down, z ahead) in the world of who sits before it and looks at
it.
"""

MODEL = "Google's model file hand_landmarker.task"


@dataclass(frozen=True)
class Options:
    """What a rig may say about it. The camera is at the rig's `address`.

    Args:
        model: path of MediaPipe's `hand_landmarker.task`, which no package brings.
        capture: width and height of the pictures.
        fovy_deg: vertical field of view of the camera.
        gestures: thumb to little finger closes and opens the clutch, thumb to ring finger begins
            and ends an episode.
        camera: of the video device, as the camera driver `v4l2` has them.
    """

    model: str = ""
    capture: tuple[int, int] = (640, 480)
    fovy_deg: float = 45.0
    gestures: bool = True
    camera: v4l2.Options = field(default_factory=v4l2.Options)


class Driver:
    """Finds hands in pictures, in a thread of its own."""

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Any):
        if not Path(options.model).is_file():
            raise XlvlaError(
                f"teleop.options.model: '{options.model}' is no file: download {MODEL} and say "
                "where it is"
            )
        self._vision = installed("mediapipe", "mediapipe")
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
        vision = self._vision.tasks.vision
        base = self._vision.tasks.BaseOptions(model_asset_path=self._options.model)
        options = vision.HandLandmarkerOptions(
            base_options=base, running_mode=vision.RunningMode.VIDEO, num_hands=2
        )
        lens = Pinhole.of_view(self._options.fovy_deg, self._options.capture).matrix
        try:
            with vision.HandLandmarker.create_from_options(options) as finder:
                while not self._stop.is_set():
                    frame = self._camera.read()
                    pixels = np.ascontiguousarray(frame.pixels[..., ::-1])
                    picture = self._vision.Image(
                        image_format=self._vision.ImageFormat.SRGB, data=pixels
                    )
                    found = finder.detect_for_video(picture, time.monotonic_ns() // 1_000_000)
                    self._mailbox.put(self._sample(found, lens, frame.stamp_ns / SECOND))
        except (RuntimeError, ValueError) as error:
            self._mailbox.fail(XlvlaError(f"{self._options.model} cannot be used: {error}"))
        except XlvlaError as error:
            self._mailbox.fail(error if isinstance(error, LinkLost) else LinkLost(str(error)))

    def _sample(self, found: Any, lens: np.ndarray, stamp_s: float) -> Sample:
        width, height = self._options.capture
        sides: dict[Side, TrackedSide] = {}
        for word, flat, solid in zip(
            found.handedness, found.hand_landmarks, found.hand_world_landmarks, strict=True
        ):
            image = np.array([(point.x * width, point.y * height) for point in flat])
            points = np.array([(point.x, point.y, point.z) for point in solid])
            for side in SIDES:
                if (
                    side == word[0].category_name.lower()
                    and side in self._sides
                    and (hand := seen(side, points, image, lens))
                ):
                    sides[side] = hand
        hands: dict[Side, np.ndarray] = {
            side: tracked.keypoints
            for side, tracked in sides.items()
            if tracked.keypoints is not None
        }
        return Sample(
            sides,
            stamp_s=stamp_s,
            buttons=self._gestures(hands, time.monotonic()) if self._gestures else (),
        )


def seen(side: Side, points: np.ndarray, image: np.ndarray, lens: np.ndarray) -> TrackedSide | None:
    """A hand whose points [21, 3] m appear at pixels [21, 2]: where it must be for that; None where
    that is no hand.
    """
    import cv2

    fits, turn, place = cv2.solvePnP(points, image, lens, None, flags=cv2.SOLVEPNP_SQPNP)
    if not fits:
        return None
    placed = points @ cv2.Rodrigues(turn)[0].T + place.ravel()
    try:
        axes = human.hand_axes(side, placed)
    except XlvlaError:
        return None
    T_world_wrist = np.eye(4)
    T_world_wrist[:3, :3], T_world_wrist[:3, 3] = FACING @ axes, FACING @ placed[0]
    return TrackedSide(T_world_wrist, points)
