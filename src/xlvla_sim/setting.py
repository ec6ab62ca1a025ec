"""Where a task's things are to stand at the beginning of an episode, as the cameras of a rig see
them: what a person needs who sets a scene on a real table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import mujoco
import numpy as np

from xlvla.rig import Rig
from xlvla_sim.render import Renderer
from xlvla_sim.scene import add_room
from xlvla_sim.state import State
from xlvla_sim.task import Task
from xlvla_sim.variation import USUAL, vary

COLOURS = ((255, 64, 64), (64, 160, 255), (255, 196, 0), (64, 224, 96), (224, 96, 255))
"""Of outlines, RGB, in the order of the things."""

LARGEST_SHARE = 0.25
"""How strongly a place is filled with its colour."""

LEAST_WIDTH = 900
"""Pixels of a picture in which outlines and names are read well."""

LINE = cv2.LINE_AA
FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Place:
    """Where a thing stands in the world [m], and its turn about the vertical [rad]."""

    name: str
    xyz: np.ndarray
    yaw: float


class Setting:
    """The things of one episode at their places, without the robot, which would hide some.

    Args:
        seed: of the episode: the same as in the simulation.
        simulated: whether the cameras are those of the simulation, which stand a little otherwise
            in every episode.
    """

    def __init__(self, rig: Rig, task: Task, seed: int, *, simulated: bool):
        spec = mujoco.MjSpec()
        spec.compiler.degree = False
        add_room(spec, rig)
        task.add_objects(spec)
        spec.visual.quality.offsamples = 0
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        state = State(self._model, self._data)
        rng = np.random.default_rng(seed)
        task.place(state, rng)
        if simulated:
            vary(state, rig.cameras, USUAL, rng)
        mujoco.mj_forward(self._model, self._data)
        self._cameras = rig.cameras
        self.places = tuple(
            Place(name.replace("_", " "), state.position(name), state.yaw(name))
            for name in self._things()
        )
        self._outlines = self._seen_outlines()

    def over(self, pictures: Mapping[str, np.ndarray]) -> np.ndarray:
        """The outlines of the places over pictures [H, W, 3] of cameras by name, side by side, RGB
        uint8; a camera without a picture is grey.
        """
        drawn: list[np.ndarray] = []
        for name, camera in self._cameras.items():
            width, height = camera.publish
            grey = np.full((height, width, 3), 96, np.uint8)
            drawn.append(self._drawn(name, pictures.get(name, grey)))
        tallest = max(len(picture) for picture in drawn)
        padded = [
            np.pad(picture, ((0, tallest - len(picture)), (0, 0), (0, 0))) for picture in drawn
        ]
        return np.concatenate(padded, axis=1)

    def unseen(self) -> list[str]:
        """The things that no camera sees."""
        seen = {thing for outlines in self._outlines.values() for thing in outlines}
        return [place.name for place in self.places if place.name not in seen]

    def _things(self) -> list[str]:
        """Names of the bodies that lie free or were added by the task."""
        names = [self._model.body(number).name for number in range(1, self._model.nbody)]
        return [name for name in names if name]

    def _seen_outlines(self) -> dict[str, dict[str, list[np.ndarray]]]:
        """By camera and thing: the polygons [N, 1, 2] px of its outline, in pictures of the size
        that is drawn.
        """
        renderer = Renderer(self._model)
        try:
            found: dict[str, dict[str, list[np.ndarray]]] = {}
            for name in self._cameras:
                width, height = self._size(name)
                found[name] = self._outlined(renderer.bodies(self._data, name, width, height))
            return found
        finally:
            renderer.close()

    def _outlined(self, bodies: np.ndarray) -> dict[str, list[np.ndarray]]:
        outlines: dict[str, list[np.ndarray]] = {}
        for thing in self._things():
            mask = (bodies == self._model.body(thing).id).astype(np.uint8)
            contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            if contours:
                outlines[thing.replace("_", " ")] = list(contours)
        return outlines

    def _size(self, camera: str) -> tuple[int, int]:
        """Width and height of what is drawn of a camera: a whole multiple of what it publishes."""
        width, height = self._cameras[camera].publish
        times = max(1, round(LEAST_WIDTH / width))
        return width * times, height * times

    def _drawn(self, camera: str, picture: np.ndarray) -> np.ndarray:
        large = cv2.resize(picture, self._size(camera), interpolation=cv2.INTER_LINEAR)
        filled = large.copy()
        outlines = self._outlines[camera]
        colours = {
            place.name: COLOURS[number % len(COLOURS)] for number, place in enumerate(self.places)
        }
        for thing, contours in outlines.items():
            cv2.drawContours(filled, contours, -1, colours[thing], cv2.FILLED)
        large = cv2.addWeighted(filled, LARGEST_SHARE, large, 1 - LARGEST_SHARE, 0)
        for thing, contours in outlines.items():
            cv2.drawContours(large, contours, -1, (0, 0, 0), 4, LINE)
            cv2.drawContours(large, contours, -1, colours[thing], 2, LINE)
        for thing, contours in outlines.items():
            _write(large, thing, max(contours, key=cv2.contourArea), colours[thing])
        return large


def _write(
    picture: np.ndarray, text: str, contour: np.ndarray, colour: tuple[int, int, int]
) -> None:
    """A name above a thing's outline, and within the picture."""
    left, top, width, _ = cv2.boundingRect(contour)
    (wide, high), _ = cv2.getTextSize(text, FONT, 0.55, 1)
    x = int(np.clip(left + (width - wide) / 2, 4, max(4, picture.shape[1] - wide - 4)))
    y = max(high + 4, top - 8)
    cv2.rectangle(picture, (x - 4, y - high - 4), (x + wide + 4, y + 5), (0, 0, 0), cv2.FILLED)
    cv2.putText(picture, text, (x, y), FONT, 0.55, colour, 1, LINE)
