"""The verdict on streams, each fault put into sound ones."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mcap")

from xlvla_data.tracking import lag, roughness
from xlvla_data.verdict import Span, Track, judge

SECONDS = 6.0
BEGAN_NS = 1_700_000_000 * 10**9
STAMPS_BEGIN_NS = 5 * 10**9


def times(rate_hz, phase_s=0.0):
    return np.arange(phase_s, SECONDS, 1 / rate_hz)


def path(t):
    """Two joints on their way, smoothly."""
    return np.stack([0.4 * np.sin(1.5 * t), 0.3 * np.cos(1.1 * t)], axis=1)


def stream(name, kind, of, rate_hz, values=None, prints=None):
    t = times(rate_hz)
    stamps = (STAMPS_BEGIN_NS + t * 1e9).astype(np.int64)
    logs = (BEGAN_NS + t * 1e9 + 2e6).astype(np.int64)
    limits = {"lower": np.full(2, -2.0), "upper": np.full(2, 2.0)}
    extra = {"values": values(t), **limits} if values else {}
    return Track(
        name,
        kind,
        of,
        stamps,
        logs,
        rate_hz,
        prints=np.arange(len(t)) if prints is None else prints,
        **extra,
    )


def sound(lag_s=0.05):
    return {
        "command": stream("/left/arm/command", "command", "left arm", 200.0, path),
        "state": stream(
            "/left/arm/joint_states", "state", "left arm", 100.0, lambda t: path(t - lag_s)
        ),
        "camera": replace(
            stream("/cameras/front/image_raw", "camera", "front", 20.0), noiseless=True
        ),
    }


def verdict(tracks):
    return judge(list(tracks.values()), Span(BEGAN_NS, BEGAN_NS + round(SECONDS * 1e9)))


def kept(track, which):
    """The track with some of its messages only."""
    columns = {
        key: getattr(track, key)[which]
        for key in ("stamps", "logs", "values", "prints")
        if len(getattr(track, key))
    }
    return replace(track, **columns)


def test_sound_streams_are_green():
    found = verdict(sound())
    assert (found.colour, found.lines) == ("green", [])
    assert found.figures["/left/arm/joint_states"]["rate [Hz]"] == pytest.approx(100.0, rel=0.01)
    assert found.figures["/left/arm/command"]["lag [s]"] == pytest.approx(0.05, abs=0.011)


FAULTS = {
    "a camera at a third of its rate": (
        "camera",
        lambda track: kept(track, slice(None, None, 3)),
        "red",
        "6.7 Hz where the rig specifies 20",
    ),
    "commands at four fifths of their rate": (
        "command",
        lambda track: kept(track, np.arange(len(track.stamps)) % 5 != 0),
        "yellow",
        "160.1 Hz where the rig specifies 200",
    ),
    "a gap of 0.3 s": (
        "state",
        lambda track: kept(track, ~((times(100) > 2) & (times(100) < 2.3))),
        "yellow",
        "nothing for 0.30 s, 2.0 s",
    ),
    "a gap of a second": (
        "camera",
        lambda track: kept(track, ~((times(20) > 2) & (times(20) < 3))),
        "red",
        "nothing for 1.00 s",
    ),
    "silence before the end": (
        "camera",
        lambda track: kept(track, times(20) < 3),
        "red",
        "fell silent 3.0 s before the end",
    ),
    "a late beginning": (
        "command",
        lambda track: kept(track, times(200) > 2),
        "yellow",
        "began 2.0 s after the episode",
    ),
    "nothing at all": ("camera", lambda track: kept(track, slice(0, 0)), "red", "nothing came"),
    "stamps that go back": (
        "state",
        lambda track: replace(
            track,
            stamps=np.where(
                np.arange(len(track.stamps)) == 300, track.stamps - 10**9, track.stamps
            ),
        ),
        "red",
        "stamps go backwards 1 times",
    ),
    "a frozen camera": (
        "camera",
        lambda track: replace(track, prints=np.minimum(track.prints, 60)),
        "red",
        "the picture stood still for 3.0 s",
    ),
    "lost messages": (
        "state",
        lambda track: replace(track, lost=20),
        "yellow",
        "20 of 620 messages were lost",
    ),
    "missing joints": (
        "state",
        lambda track: replace(track, faults=("lacks left_arm_joint7",)),
        "red",
        "lacks left_arm_joint7",
    ),
    "no number": (
        "command",
        lambda track: replace(track, values=np.where(track.values > 0.399, np.nan, track.values)),
        "red",
        "some positions are no finite numbers",
    ),
    "a limit": (
        "command",
        lambda track: replace(track, values=np.clip(track.values, -2, 0.2), upper=np.full(2, 0.2)),
        "red",
        "is at its limit",
    ),
    "a robot far behind": (
        "state",
        lambda track: replace(track, values=path(times(100) - 0.4)),
        "yellow",
        "follows its commands 0.4",
    ),
    "a robot elsewhere": (
        "state",
        lambda track: replace(track, values=path(times(100)) + 0.5),
        "red",
        "rad from where it is told",
    ),
    "a shaking robot": (
        "state",
        lambda track: replace(track, values=track.values + 0.05 * np.sin(40 * times(100))[:, None]),
        "red",
        "moves with a jerk of",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_is_the_only_one(name):
    stream_name, spoil, colour, words = FAULTS[name]
    tracks = sound()
    found = verdict({**tracks, stream_name: spoil(tracks[stream_name])})
    assert found.colour == colour
    assert words in found.lines[0]
    assert len([line for line in found.lines if line.startswith("red")]) <= 1


def test_a_rendered_picture_may_stand_still_while_the_robot_rests():
    tracks = sound()
    still = {
        key: replace(track, values=np.zeros_like(track.values)) for key, track in tracks.items()
    }
    still["camera"] = replace(tracks["camera"], prints=np.zeros(len(tracks["camera"].stamps), int))
    assert verdict(still).colour == "green"
    assert verdict(still | {"camera": replace(still["camera"], noiseless=False)}).colour == "red"


def test_nobody_is_blamed_for_what_was_not_promised():
    tracks = sound() | {
        "sentence": replace(stream("/instruction", "other", "", 1.0), claim_hz=None)
    }
    tracks["sentence"] = kept(tracks["sentence"], slice(0, 1))
    assert verdict(tracks).colour == "green"


def test_what_nobody_learns_from_makes_nothing_red():
    wrist = replace(stream("/teleop/left/wrist", "other", "", 60.0), claim_hz=None)
    found = verdict(sound() | {"wrist": replace(wrist, stamps=wrist.stamps[::-1])})
    assert found.colour == "yellow" and "stamps go backwards" in found.lines[0]


@pytest.mark.parametrize("late_s", [0.0, 0.03, 0.12, 0.5])
def test_lag_is_measured_whatever_the_rates(late_s):
    command_s = times(200)
    state_s = times(60, phase_s=0.004)
    found = lag(command_s, path(command_s), state_s, path(state_s - late_s))
    assert found is not None
    assert found.seconds == pytest.approx(late_s, abs=0.011)
    assert found.apart_rad < 0.01


def test_a_robot_at_rest_has_no_lag():
    t = times(100)
    assert lag(t, np.zeros((len(t), 2)), t, np.zeros((len(t), 2))) is None


def test_jerk_is_that_of_the_movement():
    t = times(100)
    slow = roughness(t, path(t))
    fast = roughness(t, path(2 * t))
    assert fast == pytest.approx(8 * slow, rel=0.1)
    assert slow == pytest.approx(0.4 * 1.5**3, rel=0.1)
