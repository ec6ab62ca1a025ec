"""Streams at the times of frames: never from the future, never older than allowed, evenly spaced
whatever is missing.
"""

from __future__ import annotations

from dataclasses import replace

import made_episodes
import numpy as np
import pytest

from xlvla.errors import XlvlaError
from xlvla.types import PARTS, SIDES
from xlvla_data.convert import STAMPS, AgeLimits, resampled
from xlvla_data.recorded_episode import CameraStream, RecordedEpisode, SampledStream, SelectedImages
from xlvla_data.resample import NONE, ages_s, as_of, grid, in_order

MS = 1_000_000
SEEDS = range(20)


def irregular(rng, seconds, rate_hz, begin=0):
    """Stamps of a stream with jitter, a gap now and then and some stamps twice."""
    steps = rng.uniform(0.3, 1.7, int(seconds * rate_hz)) / rate_hz * 1e9
    steps[rng.random(len(steps)) < 0.02] = 0
    return begin + np.cumsum(steps).astype(np.int64)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_taken_is_the_latest_that_is_not_from_the_future(seed):
    rng = np.random.default_rng(seed)
    stamps = irregular(rng, 3, 90)
    times = np.sort(rng.integers(-200 * MS, 3500 * MS, 80))
    for time, index in zip(times, as_of(stamps, times), strict=True):
        before = np.flatnonzero(stamps <= time)
        assert index == (before[-1] if len(before) else NONE)
    ages = ages_s(stamps, times)
    assert (ages >= 0).all() and np.isinf(ages[times < stamps[0]]).all()


def test_a_stream_without_samples_is_infinitely_old():
    assert np.isinf(ages_s(np.zeros(0, np.int64), np.arange(3))).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_frames_are_evenly_spaced_and_follow_the_camera_within_its_jitter(seed):
    rng = np.random.default_rng(seed)
    begin = int(rng.integers(0, 1000 * MS))
    camera = begin + np.arange(100) * 50 * MS + rng.integers(0, 8 * MS, 100)
    times = grid(camera, begin, int(camera[-1]), 20)
    assert set(np.diff(times)) == {50 * MS}
    index = as_of(camera, times)[1:-1]
    assert (np.diff(index) == 1).mean() > 0.95 and ages_s(camera, times)[1:-1].max() < 0.06
    assert np.median(ages_s(camera, times)) < 0.008


def test_a_lost_picture_makes_a_frame_see_the_last_one_and_shifts_no_other():
    camera = np.delete(np.arange(40) * 50 * MS, [17, 18])
    times = grid(camera, 0, 39 * 50 * MS, 20)
    assert times.tolist() == [frame * 50 * MS for frame in range(40)]
    assert as_of(camera, times).tolist() == [*range(17), 16, 16, *range(17, 38)]


def test_stamps_that_go_back_are_refused_with_the_place():
    assert in_order("x", np.array([1, 1, 2])) is not None
    with pytest.raises(XlvlaError, match=r"camera front: stamps go back at sample 2, by 0\.500 s"):
        in_order("camera front", np.array([0, 1000 * MS, 500 * MS]))


def irregular_episode(seed):
    """Streams of numbers that are their own stamps, so that what is in a frame tells when it was
    said.
    """
    rng = np.random.default_rng(seed)
    made = made_episodes.episode(frames=2)
    stamps = {
        "camera": irregular(rng, 4, 24),
        "state": irregular(rng, 4, 80),
        "command": irregular(rng, 4, 100),
        "tactile": irregular(rng, 4, 40),
    }

    def stream(name, names):
        return SampledStream(
            stamps[name], np.repeat(stamps[name][:, None] * 1e-9, len(names), 1), tuple(names)
        )

    bodies = {
        name: {
            side: {part: stream(name, made.info.joints[side][part]) for part in PARTS}
            for side in SIDES
        }
        for name in ("state", "command")
    }
    pictures = CameraStream(
        stamps["camera"],
        list(range(len(stamps["camera"]))),
        lambda number: np.full((16, 16, 3), number, np.uint8),
    )
    others = {"observation.tactile.left": stream("tactile", ("palm", "thumb"))}
    return RecordedEpisode(
        made.info, {"front": pictures}, bodies["state"], bodies["command"], others
    )


def flat(episode):
    """All numbers of an episode's frames by what they are."""
    found = {
        f"{side} {part}": getattr(episode, kind)[side][part]
        for kind in ("measured",)
        for side in SIDES
        for part in PARTS
    }
    return (
        found
        | {key: column.values for key, column in episode.others.items()}
        | {"front": np.array([each[0, 0, 0] for each in episode.pictures["front"]])}
    )


LENIENT = AgeLimits(camera_s=1, state_s=1, command_s=1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_frame_holds_nothing_from_after_it_and_its_action_nothing_from_after_its_end(seed):
    recorded = irregular_episode(seed)
    made, _ = resampled(recorded, made_episodes.codec(), LENIENT)
    stamps = made.others[STAMPS]
    times = stamps.values[:, stamps.names.index("frame")]
    assert set(np.diff(times)) == {50 * MS}
    for name, column in zip(stamps.names, stamps.values.T, strict=True):
        assert (column <= times + (50 * MS if name.endswith(".command") else 0)).all()
    for side in SIDES:
        for part in PARTS:
            assert (made.measured[side][part] <= times[:, None] * 1e-9).all()
            assert (made.action[side][part] <= (times[:, None] + 50 * MS) * 1e-9).all()
            assert (
                made.action[side][part][:, 0]
                == recorded.command[side][part].values[
                    as_of(recorded.command[side][part].stamps, times + 50 * MS), 0
                ]
            ).all()


@pytest.mark.parametrize("seed", SEEDS[:8])
def test_what_happens_later_changes_no_earlier_frame(seed):
    recorded = irregular_episode(seed)
    before, _ = resampled(recorded, made_episodes.codec(), LENIENT)
    times = before.others[STAMPS].values[:, 0]
    now = int(times[len(times) // 2])

    def other(stream):
        return replace(stream, values=np.where(stream.stamps[:, None] > now, -7.0, stream.values))

    shots = recorded.cameras["front"]
    spoilt = replace(
        recorded,
        cameras={
            "front": replace(
                shots,
                items=[
                    number if stamp <= now else 0
                    for number, stamp in zip(shots.items, shots.stamps, strict=True)
                ],
            )
        },
        state={
            side: {part: other(stream) for part, stream in parts.items()}
            for side, parts in recorded.state.items()
        },
        others={key: other(stream) for key, stream in recorded.others.items()},
    )
    after, _ = resampled(spoilt, made_episodes.codec(), LENIENT)
    seen = times <= now
    for key, values in flat(before).items():
        assert np.array_equal(values[seen], flat(after)[key][seen]), key
    assert any(
        (values[~seen] != flat(after)[key][~seen]).any() for key, values in flat(before).items()
    )


def shortened(recorded, **kept):
    """The take with only these samples of a stream, as conditions on seconds."""

    def some(stream, keep):
        chosen = np.flatnonzero(keep(stream.stamps * 1e-9))
        if isinstance(stream, CameraStream):
            return replace(
                stream,
                stamps=stream.stamps[chosen],
                items=[stream.items[index] for index in chosen],
            )
        return replace(stream, stamps=stream.stamps[chosen], values=stream.values[chosen])

    for name, keep in kept.items():
        if name == "camera":
            recorded = replace(recorded, cameras={"front": some(recorded.cameras["front"], keep)})
        else:
            parts = getattr(recorded, name)
            recorded = replace(
                recorded,
                **{
                    name: {
                        **parts,
                        "left": {**parts["left"], "arm": some(parts["left"]["arm"], keep)},
                    }
                },
            )
    return recorded


def test_ends_where_something_is_missing_are_cut_and_said():
    recorded = shortened(irregular_episode(1), state=lambda s: s > 0.6, camera=lambda s: s < 3.3)
    made, findings = resampled(
        recorded, made_episodes.codec(), AgeLimits(camera_s=0.3, state_s=0.3, command_s=0.3)
    )
    times = made.others[STAMPS].values[:, 0] * 1e-9
    assert 0.6 < times[0] < 0.75 and 3.2 < times[-1] < 3.35
    assert (
        len(findings) == 2
        and findings[0].startswith("the first 0.")
        and findings[0].endswith("left arm state")
    )
    assert "the last" in findings[1] and "camera front" in findings[1]


def test_the_time_before_a_robot_was_told_anything_is_cut_however_long():
    recorded = shortened(irregular_episode(1), command=lambda s: s > 1.8)
    made, findings = resampled(
        recorded, made_episodes.codec(), AgeLimits(camera_s=0.3, state_s=0.3, command_s=0.3)
    )
    assert 1.7 < made.others[STAMPS].values[0, 0] * 1e-9 < 1.95
    assert (
        len(findings) == 1
        and findings[0].startswith("the first 1.")
        and findings[0].endswith("left arm command")
    )


@pytest.mark.parametrize(
    ("kept", "complaint"),
    [
        (
            {"camera": lambda s: (s < 1.5) | (s > 2.1)},
            r"camera front is older than 0\.3 s in \d+ frames, first 1\.\d+ s after the beginning",
        ),
        (
            {"state": lambda s: s > 1.6},
            r"the first 1\.\d s lack left arm state: at most 1 s may be cut off",
        ),
        (
            {"command": lambda s: s < 2.2},
            r"the last 1\.\d s lack left arm command: at most 1 s may be cut off",
        ),
        ({"state": lambda s: s < 0}, r"nothing of left arm state was recorded"),
        (
            {"state": lambda s: s < 0.5},
            r"only 0\.\d s of it have all of camera front, left arm state",
        ),
    ],
)
def test_an_episode_with_a_hole_is_refused_with_a_line_that_names_it(kept, complaint):
    with pytest.raises(XlvlaError, match=complaint):
        resampled(
            shortened(irregular_episode(2), **kept),
            made_episodes.codec(),
            AgeLimits(camera_s=0.3, state_s=0.3, command_s=0.3),
        )


def test_what_is_optional_is_kept_however_old_and_says_so():
    recorded = irregular_episode(3)
    touch = recorded.others["observation.tactile.left"]
    late = replace(touch, stamps=touch.stamps[:20] + 1000 * MS, values=touch.values[:20])
    made, _ = resampled(
        replace(recorded, others={"observation.tactile.left": late}), made_episodes.codec(), LENIENT
    )
    stamps = made.others[STAMPS].values[
        :, made.others[STAMPS].names.index("observation.tactile.left")
    ]
    assert (
        stamps[0] == NONE
        and (made.others["observation.tactile.left"].values[stamps == NONE] == 0).all()
    )
    assert (stamps[-20:] == late.stamps[-1]).all()


def test_what_is_optional_is_needed_where_the_user_says_how_old_it_may_be():
    recorded = irregular_episode(3)
    touch = recorded.others["observation.tactile.left"]
    lost = replace(
        recorded,
        others={
            "observation.tactile.left": replace(
                touch, stamps=touch.stamps[:40], values=touch.values[:40]
            )
        },
    )
    resampled(lost, made_episodes.codec(), LENIENT)
    strict = replace(LENIENT, others={"observation.tactile": 0.5})
    made, _ = resampled(recorded, made_episodes.codec(), strict)
    assert len(set(made.others[STAMPS].names)) == len(made.others[STAMPS].names) == 1 + 1 + 8 + 1
    with pytest.raises(XlvlaError, match=r"the last \d\.\d s lack observation\.tactile\.left"):
        resampled(lost, made_episodes.codec(), strict)


def test_joints_are_taken_by_name_whatever_their_order():
    recorded = irregular_episode(4)
    arm = recorded.state["left"]["arm"]
    turned = SampledStream(arm.stamps, arm.values + np.arange(7)[::-1], arm.names[::-1])
    made, _ = resampled(
        replace(
            recorded, state={**recorded.state, "left": {**recorded.state["left"], "arm": turned}}
        ),
        made_episodes.codec(),
        LENIENT,
    )
    assert np.allclose(
        made.measured["left"]["arm"] - made.measured["left"]["arm"][:, :1], np.arange(7)
    )
    lost = replace(turned, names=("elbow", *turned.names[1:]))
    with pytest.raises(XlvlaError, match=r"the left arm lacks left_arm_joint7: it has elbow"):
        resampled(
            replace(
                recorded, state={**recorded.state, "left": {**recorded.state["left"], "arm": lost}}
            ),
            made_episodes.codec(),
            LENIENT,
        )


def test_pictures_picked_several_times_are_decoded_once():
    asked = []
    picked = SelectedImages(
        CameraStream(
            np.arange(5), list("abcde"), lambda item: asked.append(item) or np.array([ord(item)])
        ),
        np.array([1, 1, 2, 4, 4]),
    )
    assert [int(each[0]) for each in picked] == [
        ord(letter) for letter in "bbcee"
    ] and asked == list("bce")
    assert [int(each[0]) for each in picked[::2]] == [ord(letter) for letter in "bce"] and len(
        picked[::2]
    ) == 3
