import numpy as np
import pytest

from xlvla import catalog, human
from xlvla.human_codec import HumanCodec
from xlvla_policy.latent.human_metrics import CLOSING, TOUCHING_M, exam, limits, mark


@pytest.fixture(scope="module")
def asked():
    return exam(6, 2)


def answers(codec, people, hand, side, asked):
    """What the shipped weights make of an exam."""
    mirror = 1.0 if side == "right" else human.MIRROR
    paths = (asked.pinches[:, -1], asked.poses[:, -1], asked.gestures)
    return [codec.decode(hand, side, people.encode(side, points * mirror)) for points in paths]


def test_people_of_an_exam_close_from_rest_to_pinches_of_every_finger(asked):
    assert asked.pinches.shape == (24, CLOSING, 21, 3) and list(np.bincount(asked.finger)) == [
        0,
        6,
        6,
        6,
        6,
    ]
    points = human.normalised("right", asked.pinches)
    tips = [human.TIPS[finger] for finger in ("index", "middle", "ring", "little")]
    apart = np.linalg.norm(points[..., tips, :] - points[..., [4], :], axis=-1)
    pinched = apart[np.arange(24), :, asked.finger - 1]
    assert (pinched[:, 0] > 0.03).all() and (pinched[:, -1] < TOUCHING_M).mean() > 0.4
    assert (pinched[:, -1] < pinched[:, 0] + 0.01).all()


@pytest.mark.parametrize("side", ["right", "left"])
def test_fingers_that_a_person_never_trained_on_touches_with_the_thumb_come_near(
    codec, asked, side
):
    people = HumanCodec.load(codec)
    for hand in codec.hands:
        marks = mark(
            catalog.hand(hand), side, asked, answers(codec, people, hand, side, asked), 0.0
        )
        assert marks.touching_mm["index"] < 8, (hand, marks)
        assert marks.line_deg < 25 and marks.line_mm < 15 and marks.jerk < 6, (hand, marks)


def test_a_hand_that_does_not_follow_gets_bad_marks_and_the_best_joints_good_ones(codec, asked):
    hand = catalog.hand("xhand")
    people = HumanCodec.load(codec)
    still = [np.zeros((24, 12)), np.zeros((24, 12))]
    dead = mark(hand, "right", asked, still, 0.0)
    best = limits(hand, "right", asked)
    ours = mark(hand, "right", asked, answers(codec, people, "xhand", "right", asked), 0.0)
    assert dead.touching_mm["index"] > 50 and dead.closed == 0 and np.isnan(dead.jerk)
    assert best.line_deg < ours.line_deg < dead.line_deg
