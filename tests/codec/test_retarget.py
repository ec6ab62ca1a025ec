"""Recorded paths on other hands: the place where things are held and the wrist's rotation stay, and
nothing jumps.
"""

import json

import numpy as np
import pytest
import yaml

from rows import TAUGHT, pairs
from xlvla import catalog, rig_file
from xlvla.errors import XlvlaError
from xlvla.kinematics import Kinematics
from xlvla.retarget import (
    ARM_SPEED,
    HAND_SPEED,
    Limb,
    Retargeter,
    limited,
    pinch_midpoint,
    pinch_weights,
    spans,
)
from xlvla.robot import arm_with_hand
from xlvla.types import PARTS, SIDES, scoped
from xlvla_cli.replay import rig_for
from xlvla_cli.retarget import move
from xlvla_data import store
from xlvla_data.commanded_motion import performance
from xlvla_data.episode import Episode, EpisodeInfo
from xlvla_drivers.motion.home import way_home
from xlvla_drivers.motion.rig_motion import RigMotion

FRAMES = 24
RATE_HZ = 20.0
TICK_S = 0.02
BASE = rig_file.load("bimanual")
PAIRS = pairs(TAUGHT)
PLAYED = [
    PAIRS[0],
    *(pytest.param(*pair.values, marks=pytest.mark.long) for pair in PAIRS[1:]),
]


def wearing(left, right, base=BASE):
    return rig_file.with_choices(base, hands={"left": left, "right": right})


def reach(base, side, frames=FRAMES, way=(0.15, 0.25, -0.15, 0.2, 0.1, -0.15, 0.2)):
    """The arm swings that far out from home and back [F, N] rad."""
    home = np.array(list(base.home(side).values()))
    out = 0.5 - 0.5 * np.cos(np.linspace(0, 2 * np.pi, frames))
    return home + out[:, None] * np.array(way)


def closing(codec, hand, side, frames=FRAMES):
    """The hand closes from the middle of its range towards a tight pose of another hand [F, J]
    rad.
    """
    lower, upper = codec.limits(hand, side)
    latents = codec.encode(
        hand, side, np.array([0.7 * lower + 0.3 * upper, 0.4 * lower + 0.6 * upper])
    )
    part = np.linspace(0, 1, frames)[:, None]
    return codec.decode(hand, side, (1 - part) * latents[0] + part * latents[1])


@pytest.fixture(scope="module")
def recorded(codec, tmp_path_factory):
    """By hand: an episode from disk in which both arms swing and both hands close."""
    kept = store.Store(tmp_path_factory.mktemp("recorded"))
    episodes = {}
    for hand in TAUGHT:
        worn = wearing(hand, hand)
        action = {
            side: {"arm": reach(worn, side), "hand": closing(codec, hand, side)} for side in SIDES
        }
        joints = {side: {part: worn.joint_names(side, part) for part in PARTS} for side in SIDES}
        info = EpisodeInfo(
            "push_cans",
            "Push.",
            dict.fromkeys(SIDES, hand),
            joints,
            int(RATE_HZ),
            0,
            True,
            codec.hash,
        )
        latent = {side: codec.encode(hand, side, action[side]["hand"]) for side in SIDES}
        pictures = {"front": [np.full((48, 64, 3), frame, np.uint8) for frame in range(FRAMES)]}
        episodes[hand] = store.find(kept.add(Episode(info, pictures, action, action, latent)))[
            0
        ].read()
    return episodes


def own_fk(hand, side, arm, fingers):
    """Wrist [4, 4] and the named tips [F, 3] m in the arm's base through a model of this arm and
    hand alone.
    """
    entry = catalog.hand(hand)
    xarm = catalog.arm("xarm7")
    joints = [scoped(side, "arm", joint) for joint in xarm.joints] + [
        scoped(side, "hand", joint) for joint in entry.joint_names(side)
    ]
    kinematics = Kinematics(arm_with_hand(xarm, entry, side), joints)
    flange = scoped(side, "arm", xarm.flange)
    tips = [scoped(side, "hand", entry.tip_links(side)[finger]) for finger in fingers]

    def at(arm, hand):
        frames = kinematics.fk(np.concatenate([arm, hand]), [flange, *tips])
        return frames[flange], np.array([frames[tip][:3, 3] for tip in tips])

    return at


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_every_hand_holds_things_where_every_other_did(codec, recorded, tmp_path, source, target):
    before = recorded[source]
    moved, _ = move(before, BASE, wearing(target, target), codec)
    after = store.find(store.Store(tmp_path).add(moved))[0].read()
    assert after.info.hands == dict.fromkeys(SIDES, target) and after.info.codec == codec.hash
    fingers = [
        "thumb",
        *(f for f in catalog.hand(source).tips if f != "thumb" and f in catalog.hand(target).tips),
    ]
    for side in SIDES:
        there, here = (own_fk(hand, side, "xarm7", fingers) for hand in (source, target))
        for frame in range(FRAMES):
            wrist, tips = there(
                before.action[side]["arm"][frame], before.action[side]["hand"][frame]
            )
            new_wrist, new_tips = here(
                after.action[side]["arm"][frame], after.action[side]["hand"][frame]
            )
            weights = np.exp(-12 * np.linalg.norm(tips[1:] - tips[0], axis=1))
            middles = [(weights @ (p[:1] + p[1:])) / 2 / weights.sum() for p in (tips, new_tips)]
            assert np.linalg.norm(middles[0] - middles[1]) < 1e-3
            cosine = (np.trace(wrist[:3, :3].T @ new_wrist[:3, :3]) - 1) / 2
            assert np.arccos(np.clip(cosine, -1, 1)) < 5e-3


@pytest.mark.parametrize(("source", "target"), PLAYED)
def test_replay_plays_what_was_moved_to_another_hand(codec, recorded, tmp_path, source, target):
    moved, _ = move(recorded[source], BASE, wearing(target, target), codec)
    played = performance(f"{store.Store(tmp_path).add(moved)}#0")
    rig = rig_for(played, None, sim=True)
    played.refuse_unless_of(rig)
    motion = RigMotion(rig)
    starts = {side: np.array(list(rig.start(side).values())) for side in rig.sides}
    points = {}
    for side, player in motion.players.items():
        frames = played.commanded[side][:, played.ordered(side, rig)]
        way = way_home(starts[side], frames[0], player.bounds.velocity, RATE_HZ)
        points[side] = np.concatenate([way, frames])
    commands = dict(starts)
    longest = max(len(rows) for rows in points.values())
    for frame in range(0, longest + 60, 4):
        for side, player in motion.players.items():
            chunk = points[side][frame : frame + 64]
            if not len(chunk):
                chunk = points[side][-1:]
            now_s = frame / RATE_HZ
            player.offer(chunk, player.joints, now_s, RATE_HZ, now_s, measured=starts[side])
        for tick in range(1, 11):
            commands |= motion.step(frame / RATE_HZ + tick * TICK_S, TICK_S, starts)
    assert motion.braked == 0
    for side, rows in points.items():
        assert np.abs(commands[side] - rows[-1]).max() < 0.02


@pytest.mark.parametrize("hand", TAUGHT)
def test_a_hand_moved_to_itself_stays_as_it_was(codec, recorded, hand):
    before = recorded[hand]
    after, (left, right) = move(before, BASE, wearing(hand, hand), codec)
    for side in SIDES:
        for part in PARTS:
            assert np.abs(after.action[side][part] - before.action[side][part]).max() < 1e-6
            assert np.abs(after.measured[side][part] - before.measured[side][part]).max() < 1e-6
    assert max(left["midpoint_mm"]) < 0.01 and max(right["midpoint_mm"]) < 0.01


MIRROR = np.array([-1, 1, -1, 1, -1, 1, -1])
"""Signs of the xArm7's joints in the mirror of the rig's middle plane."""


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_left_and_right_stay_mirror_images_without_a_jump(codec, source, target):
    here = wearing(source, source)
    there = wearing(target, target)
    arm = reach(here, "right")
    hand = closing(codec, source, "right")
    moved = {}
    for side, path in (("right", arm), ("left", arm * MIRROR)):
        moved[side] = Retargeter(Limb(here, side), Limb(there, side), codec)(path, hand, RATE_HZ)
    # The two sides of a codec are taught apart and agree to some degrees.
    assert np.abs(moved["left"].hand - moved["right"].hand).max() < 0.3
    assert np.abs(moved["left"].arm * MIRROR - moved["right"].arm).max() < 0.1
    for side in SIDES:
        steps = np.abs(np.diff(moved[side].arm, axis=0)).max()
        assert steps < 2 * np.abs(np.diff(arm, axis=0)).max()
        assert not moved[side].held.any()


@pytest.mark.parametrize(
    ("source", "target"), [("xhand", "inspire"), ("inspire", "allegro"), ("ability", "paxini")]
)
def test_nothing_leaves_its_limits_or_jumps(codec, recorded, source, target):
    after, _ = move(recorded[source], BASE, wearing(target, target), codec)
    hand = catalog.hand(target)
    arm = catalog.arm("xarm7").limits
    for side in SIDES:
        for path in (after.action[side], after.measured[side]):
            lower, upper = hand.command_range(side)
            assert (path["hand"] >= lower).all() and (path["hand"] <= upper).all()
            assert (path["arm"] >= arm.lower).all() and (path["arm"] <= arm.upper).all()
            assert (
                np.abs(np.diff(path["hand"], axis=0))
                <= HAND_SPEED * hand.limits(side).velocity / RATE_HZ + 1e-6
            ).all()
            assert (
                np.abs(np.diff(path["arm"], axis=0)) <= ARM_SPEED * arm.velocity / RATE_HZ + 1e-6
            ).all()


@pytest.mark.parametrize("target", ["ability", "allegro", "inspire", "paxini"])
def test_the_same_arm_keeps_the_configuration_it_was_recorded_in(codec, recorded, target):
    before = recorded["xhand"]
    after, _ = move(before, BASE, wearing(target, target), codec)
    for side in SIDES:
        furthest = np.abs(after.action[side]["arm"] - before.action[side]["arm"]).max()
        assert furthest < 0.8, "the wrist moves by some centimetres, no joint turns round"


def test_the_report_says_what_is_left(codec, recorded):
    _, rows = move(recorded["xhand"], BASE, wearing("inspire", "paxini"), codec)
    assert [(row["side"], row["from"], row["to"]) for row in rows] == [
        ("left", "xhand", "inspire"),
        ("right", "xhand", "paxini"),
    ]
    for row in rows:
        assert len(row["midpoint_mm"]) == len(row["wrist_deg"]) == FRAMES
        assert max(row["midpoint_mm"]) < 1 and max(row["wrist_deg"]) < 0.3 and row["held"] == []
        assert len(row["arm_rad"]) == FRAMES and 0 < max(row["arm_rad"]) < 0.8
    json.dumps(rows)


def test_pictures_of_the_old_hand_stay_behind_unless_asked_for(codec, recorded):
    before = recorded["xhand"]
    assert not move(before, BASE, wearing("ability", "ability"), codec)[0].pictures
    after, _ = move(before, BASE, wearing("ability", "ability"), codec, images=True)
    assert after.pictures["front"] == before.pictures["front"] and not after.info.success


def standing_back(by):
    """The rig with its right arm further from the table [m]."""
    document = yaml.safe_load(catalog.rigs()["bimanual"].read_text())
    document["sides"]["right"]["arm"]["xyz"][0] -= by
    return rig_file.from_document(document, "further back")


def test_an_arm_that_cannot_follow_holds_and_then_catches_up_without_a_jump(codec):
    source = wearing("xhand", "xhand")
    target = wearing("paxini", "paxini", standing_back(0.4))
    arm = reach(source, "right", 80, (0, 0.9, 0, 0.6, 0, 0, 0))
    hand = closing(codec, "xhand", "right", 80)
    moved = Retargeter(Limb(source, "right"), Limb(target, "right"), codec)(arm, hand, RATE_HZ)
    held = np.flatnonzero(moved.held)
    assert 0 < len(held) < 60 and not moved.held[0] and not moved.held[-1]
    np.testing.assert_array_equal(moved.arm[held], moved.arm[held - 1])
    assert moved.position[held].max() > 0.002, "what it misses by is said"
    assert moved.position[-1] < 1e-3 and moved.rotation[-1] < 5e-3
    step = ARM_SPEED * catalog.arm("xarm7").limits.velocity / RATE_HZ
    assert (np.abs(np.diff(moved.arm, axis=0)) <= step + 1e-9).all()


def test_a_beginning_out_of_reach_is_refused(codec):
    source = wearing("xhand", "xhand")
    target = wearing("paxini", "paxini", standing_back(0.9))
    retargeter = Retargeter(Limb(source, "right"), Limb(target, "right"), codec)
    with pytest.raises(XlvlaError, match=r"cannot begin where the xhand does: .* mm are left"):
        retargeter(reach(source, "right"), closing(codec, "xhand", "right"), RATE_HZ)


@pytest.mark.parametrize("spoilt", ["empty", "not a number"])
def test_a_path_that_is_no_path_is_refused(codec, spoilt):
    limb = Limb(BASE, "left")
    arm = reach(BASE, "left", 3)
    hand = closing(codec, "xhand", "left", 3)
    if spoilt == "not a number":
        arm[1, 2] = np.nan
    frames = 0 if spoilt == "empty" else 3
    with pytest.raises(XlvlaError, match="record it again"):
        Retargeter(limb, limb, codec)(arm[:frames], hand[:frames], RATE_HZ)


def test_the_nearest_finger_counts_most_and_absent_ones_nothing():
    tips = {
        "thumb": np.zeros(3),
        "index": np.array([0.02, 0, 0]),
        "middle": np.array([0, 0.1, 0]),
        "little": np.array([0, 0, 0.001]),
    }
    weights = pinch_weights(tips, ("thumb", "index", "middle", "ring"))
    assert set(weights) == {"index", "middle"} and weights["index"] > weights["middle"]
    assert sum(weights.values()) == pytest.approx(1)
    np.testing.assert_allclose(
        pinch_midpoint(tips, weights), [0.01 * weights["index"], 0.05 * weights["middle"], 0]
    )


def test_a_step_is_shortened_along_its_own_direction():
    q = np.zeros(2)
    wanted = np.array([1.0, 0.5])
    step = np.array([0.1, 0.1])
    np.testing.assert_allclose(limited(q, wanted, step), [0.1, 0.05])
    assert limited(q, 0.05 * wanted, step) is not q


def test_runs_of_frames_read_as_spans():
    assert spans([]) == "" and spans([3, 4, 5, 9]) == "3-5, 9"
