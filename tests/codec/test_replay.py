from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco")

from xlvla import catalog, rig_file
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.types import FIRST_EVALUATION_SEED
from xlvla_cli.codec.replay import kept, moved, play, record, scored
from xlvla_policy.latent.baselines.dex import missing
from xlvla_policy.latent.baselines.path_retargeting import Dex, RightOnly, self_contact
from xlvla_sim.world import World

NONE = frozenset()
LEFT = frozenset({("left", "can")})
BOTH = frozenset({("left", "can"), ("right", "can")})


@pytest.fixture(scope="module")
def xhands():
    return rig_file.with_choices(
        rig_file.load("bimanual"), hands={"left": "xhand", "right": "xhand"}
    )


@pytest.fixture(scope="module")
def recorded(xhands):
    return list(record(xhands, 1))


def glide(hand, side, frames=8):
    limits = catalog.hand(hand).limits(side)
    part = np.linspace(0.2, 0.4, frames)[:, None]
    return limits.lower + part * (limits.upper - limits.lower)


def test_contacts_are_kept_where_the_target_touches_the_same_thing_about_then():
    assert kept([NONE, LEFT, BOTH], [NONE, LEFT, BOTH], slack=0) == 1
    assert kept([NONE, LEFT, BOTH], [NONE, NONE, LEFT], slack=0) == pytest.approx(1 / 3)
    assert kept([NONE, LEFT, BOTH], [NONE, NONE, LEFT], slack=1) == pytest.approx(2 / 3)
    assert kept([NONE, LEFT], [NONE, NONE]) == 0 and kept([NONE], [LEFT]) == 1


def test_a_demonstration_that_fails_is_left_out_with_its_reason():
    lines = []
    one_arm = rig_file.load(str(Path(__file__).parents[2] / "examples" / "one_arm.yaml"))
    cans_apart = replace(one_arm, sim=replace(one_arm.sim, task="push_cans"))
    assert list(record(cans_apart, 1, lines.append)) == []
    (line,) = lines
    assert line.startswith(f"inspire, seed {FIRST_EVALUATION_SEED}: left out: the task needs")


def test_commands_that_are_played_again_touch_what_they_touched(xhands, recorded):
    episode = recorded[0]
    world = World(xhands, render=False)
    seen = play(world, episode.seed, episode.actions)
    assert {thing for frame in episode.touched for _, thing in frame} == {"can_left", "can_right"}
    assert kept(episode.touched, seen) > 0.95 and world.status().success


def test_a_replay_on_another_hand_is_scored(recorded):
    target = rig_file.with_choices(
        rig_file.load("bimanual"), hands={"left": "inspire", "right": "inspire"}
    )
    (score,) = scored(recorded, target, {"codec": Codec.load()})
    assert (score.source, score.target, score.way, score.why) == ("xhand", "inspire", "codec", "")
    assert score.kept > 0.5 and 0 <= score.hits <= 1 and score.stage >= 0.25


@pytest.mark.skipif(bool(missing()), reason="dex-retargeting is not installed")
@pytest.mark.parametrize("side", ["left", "right"])
def test_retargeting_a_hand_to_itself_brings_its_fingertips_back(side):
    q = glide("xhand", side)
    way = Dex()
    back = way.decode("xhand", side, way.encode("xhand", side, q))
    assert np.abs(back - q).mean() < 0.12


def test_a_codec_of_right_hands_serves_left_ones_too():
    codec = Codec.load()
    way = RightOnly(codec)
    q = glide("xhand", "left")
    assert (way.encode("xhand", "left", q) == codec.encode("xhand", "right", q)).all()
    assert way.decode("ability", "left", way.encode("xhand", "left", q)).shape == (8, 6)


def test_a_hand_that_reaches_into_itself_is_seen():
    limits = catalog.hand("xhand").limits("right")
    random = np.random.default_rng(0).uniform(limits.lower, limits.upper, (256, len(limits.lower)))
    assert (
        self_contact("xhand", "right", np.zeros((4, len(limits.lower))))
        == 0
        < self_contact("xhand", "right", random)
    )


def test_a_path_without_frames_is_no_replay(xhands, recorded):
    empty = {
        side: {part: rows[:0] for part, rows in parts.items()}
        for side, parts in recorded[0].actions.items()
    }
    with pytest.raises(XlvlaError, match="no frames"):
        moved(type(recorded[0])(xhands, 0, empty, []), xhands, Codec.load())
