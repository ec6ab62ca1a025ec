from dataclasses import replace

import numpy as np
import pytest

from xlvla import human
from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.teleop import TeleopConfig
from xlvla.types import PARTS
from xlvla_drivers.teleop.fingers import fingers
from xlvla_drivers.teleop.follower import Follower
from xlvla_drivers.teleop.operator import TrackedSide
from xlvla_sim.scripted_operator import ScriptedOperator
from xlvla_sim.world import World

STEP_S = 1 / 60


@pytest.fixture
def driven(rig_with):
    """The bimanual rig with these hands, driven by hand."""

    def choose(left: str, right: str, **teleop) -> Rig:
        return replace(
            rig_with(left, right),
            policy=None,
            teleop=TeleopConfig("topics", scripted=True, **teleop),
        )

    return choose


def solved(rig: Rig, codec, seed: int) -> World:
    """One episode: the operator's hands are tracked, followed, and move the simulated robot,
    without a graph around it.
    """
    world = World(rig, render=False)
    operator = ScriptedOperator(rig, codec)
    followers = {
        side: Follower(rig, side, fingers("codec", rig.hand(side), side, codec))
        for side in rig.sides
    }
    world.reset(seed)
    script = operator.begin(seed)
    now_s = 0.0
    while script is not None:
        operator.play(script)
        while not operator.arrived:
            now_s += STEP_S
            for side, follower in followers.items():
                hands = operator.hands(side)
                follower.see(TrackedSide(hands.T_world_wrist, hands.keypoints), now_s, now_s)
                follower.compare(
                    np.concatenate([world.joint_state(side, part)[0] for part in PARTS]), now_s
                )
                if follower.follows:
                    command(world, side, follower.goal.position)
                else:
                    follower.close(np.array(list(rig.start(side).values())), now_s)
            world.step(STEP_S)
            operator.advance(STEP_S if now_s > 1.5 else 0.0)  # at first fingers join
        script = operator.go_on(world.data.qpos.copy())
    return world


def command(world: World, side, position: np.ndarray) -> None:
    names = [world.rig.joint_names(side, part) for part in PARTS]
    split = len(names[0])
    for part, joints, values in zip(
        PARTS, names, (position[:split], position[split:]), strict=True
    ):
        world.command(side, part, dict(zip(joints, values, strict=True)))


def test_the_task_is_solved_through_a_persons_hands(driven, codec):
    assert solved(driven("xhand", "inspire"), codec, 900_001).status().success


def test_an_operator_who_stands_opposite_and_moves_half_as_far_solves_it_too(driven, codec):
    assert (
        solved(driven("inspire", "xhand", turn_deg=180.0, scale=2.0), codec, 900_002)
        .status()
        .success
    )


def test_hands_are_those_of_a_person_and_begin_where_the_robot_does(driven, codec):
    operator = ScriptedOperator(driven("xhand", "ability"), codec)
    assert operator.hands("left") is None and operator.arrived
    operator.play(operator.begin(900_003))
    for side in ("left", "right"):
        hands = operator.hands(side)
        human.checked(side, hands.keypoints)
        assert np.allclose(hands.T_world_wrist[:3, :3] @ hands.T_world_wrist[:3, :3].T, np.eye(3))
    assert not operator.arrived


def test_hands_move_smoothly_between_the_frames_of_the_plan(driven, codec):
    operator = ScriptedOperator(driven("xhand", "inspire"), codec)
    operator.play(operator.begin(900_004))
    places = []
    for _ in range(400):
        operator.advance(STEP_S)
        places.append(operator.hands("right").T_world_wrist[:3, 3])
    assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() < 0.02
    assert np.ptp(places, axis=0).max() > 0.05


def test_hands_that_were_let_go_begin_anew_where_the_robot_is_and_come_back_to_the_plan(
    driven, codec
):
    rig = driven("xhand", "inspire")
    operator = ScriptedOperator(rig, codec)
    world = World(rig, render=False)
    operator.play(operator.begin(900_006))
    home = operator.hands("left").T_world_wrist
    operator.advance(1.5)
    planned = operator.hands("left").T_world_wrist
    assert np.linalg.norm(planned[:3, 3] - home[:3, 3]) > 0.05
    world.reset(900_006)
    operator.rejoin(world.data.qpos.copy())
    assert np.allclose(operator.hands("left").T_world_wrist, home, atol=1e-6), (
        "the robot never moved"
    )
    for _ in range(100):
        operator.advance(STEP_S)
    assert np.linalg.norm(operator.hands("left").T_world_wrist[:3, 3] - home[:3, 3]) > 0.05


def test_the_state_of_another_world_is_refused(driven, codec):
    operator = ScriptedOperator(driven("xhand", "inspire"), codec)
    operator.begin(900_005)
    with pytest.raises(XlvlaError, match="is another rig simulated"):
        operator.go_on(np.zeros(3))
