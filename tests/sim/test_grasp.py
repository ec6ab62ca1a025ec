import itertools

import numpy as np
import pytest

from rows import rows
from xlvla import catalog
from xlvla.codec import Codec
from xlvla.kinematics import Kinematics
from xlvla.paper import hands as named
from xlvla_sim.conditions import lifted
from xlvla_sim.demonstration import demonstrate
from xlvla_sim.expert import Expert
from xlvla_sim.fruit import add_fruit
from xlvla_sim.grasp import Grasps, Grip, pinch
from xlvla_sim.labels import tomato_label
from xlvla_sim.moves import Pick, from_above, from_side, take
from xlvla_sim.task import TaskStage
from xlvla_sim.things import add_bottle, add_can
from xlvla_sim.world import World

HANDS = named("paper")
RADIUS = 0.033
CAN = 0.10
BOTTLE = 0.16


class Lift:
    """A thing that one hand takes and holds up."""

    sentence = "Lift it."
    time_limit_s = 60.0

    def __init__(self, thing, side):
        self.thing = thing
        self.side = side
        self.height = {"can": CAN, "bottle": BOTTLE, "lemon": 2 * RADIUS}[thing]
        self.stages = (
            TaskStage("hold it up", lambda state: lifted(state, "thing", self.height / 2)),
        )
        self.hold = {
            "can": from_side(2 * RADIUS, above=0.02),
            "bottle": from_side(2 * RADIUS),
            "lemon": from_above(2 * RADIUS),
        }[thing]

    def add_objects(self, spec):
        if self.thing == "can":
            add_can(spec, "thing", radius=RADIUS, height=CAN, mass=0.35, label=tomato_label())
        elif self.thing == "bottle":
            look = {"label": tomato_label(), "colour": (0.9, 0.9, 0.9), "spout": (0.01, 0.03)}
            add_bottle(spec, "thing", radius=RADIUS, height=BOTTLE, mass=0.4, **look)
        else:
            add_fruit(spec, "thing", radii=(RADIUS,) * 3, mass=0.12, colour=(0.9, 0.8, 0.1))

    def place(self, state, rng):
        state.place(
            "thing", np.array([0.42, 0.17 if self.side == "left" else -0.17, self.height / 2])
        )

    def lost(self, state):
        return None

    def plan(self, state, rng):
        yield from take(state, Pick("thing", self.side, self.hold), rng)


def _shaken(world, seconds=5.0):
    """How far [m] the thing got while everything was shaken with 1 g at 3 Hz, along x, y and z in
    turn.
    """
    before = world.state.position("thing")
    for t in np.arange(0, seconds, 0.02):
        along = np.eye(3)[int(3 * t / seconds)]
        world.model.opt.gravity = np.array([0, 0, -9.81]) + 9.81 * np.sin(2 * np.pi * 3 * t) * along
        world.step(0.02)
    world.model.opt.gravity = [0, 0, -9.81]
    world.step(0.1)
    return np.linalg.norm(world.state.position("thing") - before)


@pytest.mark.parametrize(("hand", "thing"), rows(HANDS, ("can", "bottle", "lemon")))
def test_what_a_hand_took_stays_in_it_when_shaken(rig_with, codec, hand, thing):
    side = "left" if HANDS.index(hand) % 2 else "right"
    rig = rig_with(hand)
    world = World(rig, render=False, task=Lift(thing, side))
    assert demonstrate(world, Expert(rig, codec), 900_001).status.success
    assert _shaken(world) < 0.03
    assert lifted(world.state, "thing", world.task.height / 2)


@pytest.mark.parametrize("hand", HANDS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_every_hand_opens_as_far_as_it_is_told(rig_with, hand, side):
    rig = rig_with(hand)
    grasps = Grasps(rig.hand(side), side, Codec.load())
    for width in (0.04, 0.06, 0.08, 0.10):
        assert grasps.opening(width) == pytest.approx(width, abs=0.006)


def test_grips_of_left_and_right_hands_are_mirror_images(rig_with, codec):
    rig = rig_with("xhand")
    left, right = (
        Grasps(rig.hand(side), side, codec).offset(Grip(0.06)) for side in ("left", "right")
    )
    assert np.allclose(left * [1, -1, 1], right, atol=0.004)


def test_a_grip_of_nothing_is_the_flange(rig_with, codec):
    assert not Grasps(rig_with("ability").hand("left"), "left", codec).offset(None).any()


def test_a_hand_told_a_smaller_width_closes_further(rig_with, codec):
    grasps = Grasps(rig_with("inspire").hand("right"), "right", codec)
    widths = [grasps.opening(width) for width in (0.12, 0.09, 0.06, 0.03)]
    assert all(wide > narrow for wide, narrow in itertools.pairwise(widths))


def test_a_grippers_pinch_is_its_opening_midway_between_its_pads():
    gripper = catalog.hand("xarm_gripper")
    kinematics = Kinematics(gripper.urdf_model("right"), gripper.joint_names("right"))
    for angle, opening in ((0.0, 0.089), (0.4, 0.050), (0.85, 0.002)):
        width, middle = pinch(gripper, "right", kinematics, np.array([angle]))
        assert width == pytest.approx(opening, abs=0.002)
        np.testing.assert_allclose(middle[:2], 0, atol=1e-6)
        assert 0.15 < middle[2] < 0.165
