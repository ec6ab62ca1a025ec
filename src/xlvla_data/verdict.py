"""Whether a recording is fit for training: the issues of an episode's streams, a line each.

Green is fine. Yellow is worth a look. Red is not used for training unless asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from xlvla.types import SECOND
from xlvla_data.bag.card import Colour
from xlvla_data.tracking import lag, moved, roughness

COLOURS: tuple[Colour, ...] = ("green", "yellow", "red")

Kind = Literal["state", "command", "camera", "device", "reset", "other"]


@dataclass(frozen=True)
class Track:
    """What is judged of a stream of N messages.

    Args:
        name: the topic.
        kind: what it tells: measured or commanded joints, pictures, how a device is, that the
            simulation was reset, or something else.
        of: 'left arm', or the camera's name.
        stamps: [N] ns, as its messages say; `logs` [N] ns, when they came.
        claim_hz: what the rig promises; None: nothing.
        values: positions [N, J] rad; `lower` and `upper` [J] rad are the joints' limits.
        prints: fingerprints [N] of pictures; `noiseless` ones are rendered, and may be the same
            while the robot rests.
        lost: messages that were sent and did not come.
        faults: what its messages lack or complain of, a line each.
    """

    name: str
    kind: Kind
    of: str
    stamps: np.ndarray
    logs: np.ndarray
    claim_hz: float | None = None
    values: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    lower: np.ndarray = field(default_factory=lambda: np.zeros(0))
    upper: np.ndarray = field(default_factory=lambda: np.zeros(0))
    prints: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    noiseless: bool = False
    lost: int = 0
    faults: tuple[str, ...] = ()

    @property
    def seconds(self) -> np.ndarray:
        return self.stamps / SECOND


@dataclass(frozen=True)
class Span:
    """When an episode was, by log times [ns]."""

    began_ns: int
    ended_ns: int


@dataclass(frozen=True)
class QualityLimits:
    """Thresholds (yellow, red).

    Args:
        rate: share of what is promised; `enough_hz` is never red: twice what a policy learns from.
        frozen_s: pictures may be the same for so long.
    """

    rate: tuple[float, float] = (0.9, 0.5)
    gap_periods: tuple[float, float] = (5.0, 15.0)
    gap_s: tuple[float, float] = (0.1, 0.5)
    silent_s: tuple[float, float] = (1.0, 1.5)
    late_s: tuple[float, float] = (1.0, 3.0)
    lost: tuple[float, float] = (0.01, 0.1)
    lag_s: tuple[float, float] = (0.25, 0.5)
    apart_rad: tuple[float, float] = (0.1, 0.3)
    at_limit: tuple[float, float] = (0.05, 0.5)
    jerk: tuple[float, float] = (400.0, 1500.0)
    frozen_s: float = 0.5
    enough_hz: float = 40.0


@dataclass(frozen=True)
class Issue:
    """Something that is not as it should be, in one line."""

    colour: Colour
    line: str


@dataclass(frozen=True)
class Verdict:
    """Findings, the worst ones first, and what was measured, by stream."""

    findings: tuple[Issue, ...]
    figures: Mapping[str, Mapping[str, Any]]

    @property
    def colour(self) -> Colour:
        return self.findings[0].colour if self.findings else "green"

    def beside(self, others: Sequence[Issue]) -> Verdict:
        """With what else was found."""
        found = sorted(
            dict.fromkeys((*others, *self.findings)),
            key=lambda issue: -COLOURS.index(issue.colour),
        )
        return Verdict(tuple(found), self.figures)

    @property
    def lines(self) -> list[str]:
        return [f"{issue.colour}: {issue.line}" for issue in self.findings]


def judge(tracks: Sequence[Track], span: Span, limits: QualityLimits | None = None) -> Verdict:
    """What is to be said of the streams of an episode."""
    limits = limits or QualityLimits()
    findings = [issue for track in tracks for issue in _of_stream(track, span, limits)]
    findings += [
        issue
        for track in tracks
        if track.kind == "camera"
        for issue in _frozen(track, tracks, limits)
    ]
    figures: dict[str, dict[str, Any]] = {
        track.name: _figures(track) for track in tracks if len(track.stamps)
    }
    for command, state in _arms(tracks):
        findings += _of_arm(command, state, limits, figures[command.name])
    return Verdict((), figures).beside(findings)


def _of_stream(track: Track, span: Span, limits: QualityLimits) -> Iterator[Issue]:
    yield from (Issue("red", f"{track.name}: {fault}") for fault in track.faults)
    if not len(track.stamps):
        if track.claim_hz and span.ended_ns - span.began_ns > limits.late_s[0] * SECOND:
            yield Issue("red", f"{track.name}: nothing came")
        return
    yield from _order(track)
    if track.claim_hz:
        yield from _pace(track, track.claim_hz, limits)
        yield from _ends(track, track.claim_hz, span, limits)
    sent = len(track.stamps) + track.lost
    yield from _above(
        track.lost / sent,
        limits.lost,
        f"{track.name}: {track.lost} of {sent} messages were lost on their way",
    )
    if not np.isfinite(track.values).all():
        yield Issue("red", f"{track.name}: some positions are no finite numbers")


def _order(track: Track) -> Iterator[Issue]:
    steps = np.diff(track.stamps)
    if backwards := int((steps < 0).sum()):
        learned_from = track.kind in ("state", "command", "camera")
        yield Issue(
            "red" if learned_from else "yellow",
            f"{track.name}: stamps go backwards {backwards} times",
        )
    if track.claim_hz and (same := int((steps == 0).sum())) > 0.01 * len(steps):
        yield Issue("yellow", f"{track.name}: {same} stamps are those of the message before")


def _pace(track: Track, claim_hz: float, limits: QualityLimits) -> Iterator[Issue]:
    """Rate and gaps, by what the messages say of when they are from."""
    if len(track.stamps) < 2:
        return
    steps = np.diff(np.sort(track.stamps)) / SECOND
    total = float(steps.sum())
    rate_hz = len(steps) / total if total else 0.0
    slow, wrong = limits.rate
    if rate_hz < slow * claim_hz:
        colour: Colour = "red" if rate_hz < min(wrong * claim_hz, limits.enough_hz) else "yellow"
        yield Issue(colour, f"{track.name}: {rate_hz:.1f} Hz where the rig specifies {claim_hz:g}")
    largest = float(steps.max())
    allowed = _allowed_gap(claim_hz, limits)
    yield from _above(
        largest,
        allowed,
        f"{track.name}: nothing for {largest:.2f} s, {_at(track, int(steps.argmax()))}",
    )


def _allowed_gap(claim_hz: float, limits: QualityLimits) -> tuple[float, float]:
    first, second = (
        max(s, n / claim_hz) for s, n in zip(limits.gap_s, limits.gap_periods, strict=True)
    )
    return first, second


def _ends(track: Track, claim_hz: float, span: Span, limits: QualityLimits) -> Iterator[Issue]:
    """Whether it came from beginning to end; by when messages came, since a dead simulation's time
    stands still.
    """
    slack = 5 / claim_hz
    late_s = (track.logs[0] - span.began_ns) / SECOND
    silent_s = (span.ended_ns - track.logs[-1]) / SECOND
    yield from _above(
        late_s - slack, limits.late_s, f"{track.name}: began {late_s:.1f} s after the episode"
    )
    yield from _above(
        silent_s - slack,
        limits.silent_s,
        f"{track.name}: fell silent {silent_s:.1f} s before the end",
    )


def _frozen(track: Track, tracks: Sequence[Track], limits: QualityLimits) -> Iterator[Issue]:
    """Pictures that stay the same."""
    if len(track.prints) < 2:
        return
    changes = np.flatnonzero(np.diff(track.prints) != 0) + 1
    edges = np.concatenate([[0], changes, [len(track.prints)]])
    lengths = track.stamps[edges[1:] - 1] - track.stamps[edges[:-1]]
    longest = int(lengths.argmax())
    seconds = lengths[longest] / SECOND
    begin = int(edges[longest])
    if seconds < max(limits.frozen_s, 3 / (track.claim_hz or 20.0)):
        return
    until = int(track.stamps[edges[longest + 1] - 1])
    if track.noiseless and not any(
        moved(arm.stamps, arm.values, int(track.stamps[begin]), until) for arm in _states(tracks)
    ):
        return
    yield Issue(
        "red", f"{track.name}: the picture stood still for {seconds:.1f} s, {_at(track, begin)}"
    )


def _of_arm(
    command: Track, state: Track, limits: QualityLimits, figures: dict[str, Any]
) -> Iterator[Issue]:
    near = (command.values < command.lower + 0.01) | (command.values > command.upper - 0.01)
    share = float(near.any(axis=1).mean())
    worst = int(near.mean(axis=0).argmax())
    figures["at limit"] = round(share, 4)
    yield from _above(
        share,
        limits.at_limit,
        f"{command.of}: joint {worst + 1} or another is at its limit for {share:.0%} of the time",
    )
    jerk = roughness(state.seconds, state.values)
    figures["jerk [rad/s3]"] = round(jerk, 1)
    yield from _above(jerk, limits.jerk, f"{state.of}: moves with a jerk of {jerk:.0f} rad/s3")
    followed = lag(command.seconds, command.values, state.seconds, state.values)
    if followed is None:
        return
    figures["lag [s]"], figures["apart [rad]"] = (
        round(followed.seconds, 3),
        round(followed.apart_rad, 4),
    )
    yield from _above(
        followed.seconds,
        limits.lag_s,
        f"{state.of}: follows its commands {followed.seconds:.2f} s late",
    )
    yield from _above(
        followed.apart_rad,
        limits.apart_rad,
        f"{state.of}: is {followed.apart_rad:.2f} rad from where it is told",
    )


def _arms(tracks: Sequence[Track]) -> Iterator[tuple[Track, Track]]:
    """Commands and measured positions of each arm that has enough of both."""
    states = {state.of: state for state in _states(tracks)}
    for command in tracks:
        state = states.get(command.of) if command.kind == "command" else None
        if state is not None and _sound(command) and _sound(state):
            yield command, state


def _sound(track: Track) -> bool:
    in_order = bool((np.diff(track.stamps) >= 0).all())
    return (
        len(track.values) > 10
        and not track.faults
        and in_order
        and bool(np.isfinite(track.values).all())
    )


def _states(tracks: Sequence[Track]) -> list[Track]:
    return [
        track
        for track in tracks
        if track.kind == "state" and track.of.endswith("arm") and track.values.size
    ]


def _figures(track: Track) -> dict[str, Any]:
    steps = np.diff(np.sort(track.stamps)) / SECOND
    found: dict[str, Any] = {"messages": len(track.stamps), "lost": track.lost}
    if steps.sum() > 0:
        found |= {
            "rate [Hz]": round(len(steps) / float(steps.sum()), 2),
            "largest gap [s]": round(float(steps.max()), 3),
        }
    return found | ({"claim [Hz]": track.claim_hz} if track.claim_hz else {})


def _above(value: float, limits: tuple[float, float], line: str) -> Iterator[Issue]:
    if value > limits[0]:
        yield Issue("red" if value > limits[1] else "yellow", line)


def _at(track: Track, index: int) -> str:
    return f"{(track.logs[index] - track.logs[0]) / SECOND:.1f} s after its first message"
