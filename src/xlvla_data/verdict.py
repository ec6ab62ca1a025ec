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

REPEATED = 0.01
"""Share of a stream's stamps that may be those of the message before."""

NEAR_RAD = 0.01
"""A command that is so near a limit, or beyond it, is at the limit."""

USUAL_CAMERA_HZ = 20.0
"""Rate of a camera for which the rig specifies none."""

FEWEST = 10
"""A stream of no more messages is not judged as an arm's."""


@dataclass(frozen=True)
class Track:
    """What a stream of N messages is judged by.

    Args:
        name: the topic.
        kind: what it carries: measured or commanded joints, pictures, a device's status, resets of
            the simulation, or something else.
        of: 'left arm', or the camera's name.
        stamps: [N] ns, of the messages' headers.
        logs: [N] ns, when the messages came.
        claim_hz: rate that the rig specifies; None where it specifies none.
        values: positions [N, J] rad.
        lower, upper: limits of the joints [J] rad.
        prints: fingerprints [N] of pictures.
        noiseless: its pictures are rendered, and may be the same while the robot rests.
        lost: messages that were sent and did not come.
        faults: what its messages lack or report, a line each.
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
        rate: share of the rate that the rig specifies.
        gap_periods, gap_s: time without a message, in periods of the stream and in seconds; the
            longer one counts.
        silent_s: time without a message at the end.
        late_s: time without a message at the beginning.
        lost: share of the messages sent.
        lag_s: how far an arm is behind its commands.
        apart_rad: how far it is from them when that delay is taken out.
        at_limit: share of the time in which a command is at a joint's limit.
        jerk: of an arm [rad/s3].
        frozen_s: pictures that are the same for longer are red.
        enough_hz: a rate from here on is never red: twice what a policy learns from.
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
        """With further issues, each once."""
        issues = dict.fromkeys((*others, *self.findings))
        worst_first = sorted(issues, key=lambda issue: -COLOURS.index(issue.colour))
        return Verdict(tuple(worst_first), self.figures)

    @property
    def lines(self) -> list[str]:
        return [f"{issue.colour}: {issue.line}" for issue in self.findings]


def judge(tracks: Sequence[Track], span: Span, limits: QualityLimits | None = None) -> Verdict:
    """The verdict on the streams of an episode."""
    if limits is None:
        limits = QualityLimits()
    findings: list[Issue] = []
    for track in tracks:
        findings += _of_stream(track, span, limits)
    for track in tracks:
        if track.kind == "camera":
            findings += _frozen(track, tracks, limits)
    figures: dict[str, dict[str, Any]] = {}
    for track in tracks:
        if len(track.stamps):
            figures[track.name] = _figures(track)
    for command, state in _arms(tracks):
        findings += _of_arm(command, state, limits, figures[command.name])
    return Verdict((), figures).beside(findings)


def _of_stream(track: Track, span: Span, limits: QualityLimits) -> Iterator[Issue]:
    for fault in track.faults:
        yield Issue("red", f"{track.name}: {fault}")
    if not len(track.stamps):
        # A stream without a rate may have had nothing to publish
        allowed_ns = limits.late_s[0] * SECOND
        if track.claim_hz and span.ended_ns - span.began_ns > allowed_ns:
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
    """Stamps that go back, or stand still."""
    steps = np.diff(track.stamps)
    backwards = int((steps < 0).sum())
    if backwards:
        learned_from = track.kind in ("state", "command", "camera")
        colour: Colour = "red" if learned_from else "yellow"
        yield Issue(colour, f"{track.name}: stamps go backwards {backwards} times")
    repeated = int((steps == 0).sum())
    if track.claim_hz and repeated > REPEATED * len(steps):
        yield Issue("yellow", f"{track.name}: {repeated} stamps are those of the message before")


def _pace(track: Track, claim_hz: float, limits: QualityLimits) -> Iterator[Issue]:
    """Rate and gaps, by the messages' stamps."""
    if len(track.stamps) < 2:
        return
    steps = np.diff(np.sort(track.stamps)) / SECOND
    total = float(steps.sum())
    rate_hz = len(steps) / total if total else 0.0
    slow, wrong = limits.rate
    if rate_hz < slow * claim_hz:
        useless = rate_hz < min(wrong * claim_hz, limits.enough_hz)
        colour: Colour = "red" if useless else "yellow"
        yield Issue(colour, f"{track.name}: {rate_hz:.1f} Hz where the rig specifies {claim_hz:g}")
    largest = float(steps.max())
    when = _at(track, int(steps.argmax()))
    line = f"{track.name}: nothing for {largest:.2f} s, {when}"
    yield from _above(largest, _allowed_gap(claim_hz, limits), line)


def _allowed_gap(claim_hz: float, limits: QualityLimits) -> tuple[float, float]:
    """Gaps [s] that are yellow and red."""
    yellow_s, red_s = limits.gap_s
    yellow_periods, red_periods = limits.gap_periods
    return max(yellow_s, yellow_periods / claim_hz), max(red_s, red_periods / claim_hz)


def _ends(track: Track, claim_hz: float, span: Span, limits: QualityLimits) -> Iterator[Issue]:
    """Whether it came from beginning to end; by when messages came, since a dead simulation's time
    stands still.
    """
    slack_s = 5 / claim_hz
    late_s = (track.logs[0] - span.began_ns) / SECOND
    silent_s = (span.ended_ns - track.logs[-1]) / SECOND
    late = f"{track.name}: began {late_s:.1f} s after the episode"
    yield from _above(late_s - slack_s, limits.late_s, late)
    silent = f"{track.name}: fell silent {silent_s:.1f} s before the end"
    yield from _above(silent_s - slack_s, limits.silent_s, silent)


def _frozen(track: Track, tracks: Sequence[Track], limits: QualityLimits) -> Iterator[Issue]:
    """Pictures that stay the same."""
    if len(track.prints) < 2:
        return
    # Each run of equal pictures begins at an edge and ends before the next
    changes = np.flatnonzero(np.diff(track.prints) != 0) + 1
    edges = np.concatenate([[0], changes, [len(track.prints)]])
    lengths_ns = track.stamps[edges[1:] - 1] - track.stamps[edges[:-1]]
    longest = int(lengths_ns.argmax())
    seconds = lengths_ns[longest] / SECOND
    three_periods_s = 3 / (track.claim_hz or USUAL_CAMERA_HZ)
    if seconds < max(limits.frozen_s, three_periods_s):
        return
    first = int(edges[longest])
    last = int(edges[longest + 1]) - 1
    if track.noiseless and not _arm_moved(tracks, track.stamps[first], track.stamps[last]):
        return
    yield Issue(
        "red", f"{track.name}: the picture stood still for {seconds:.1f} s, {_at(track, first)}"
    )


def _arm_moved(tracks: Sequence[Track], begin_ns: int, end_ns: int) -> bool:
    """Whether an arm moved between two stamps so that a camera sees it."""
    arms = _states(tracks)
    return any(moved(arm.stamps, arm.values, int(begin_ns), int(end_ns)) for arm in arms)


def _of_arm(
    command: Track, state: Track, limits: QualityLimits, figures: dict[str, Any]
) -> Iterator[Issue]:
    """How an arm moves and follows its commands; what was measured goes into `figures`."""
    near_lower = command.values < command.lower + NEAR_RAD
    near_upper = command.values > command.upper - NEAR_RAD
    near = near_lower | near_upper
    share = float(near.any(axis=1).mean())
    worst = int(near.mean(axis=0).argmax())
    figures["at limit"] = round(share, 4)
    line = f"{command.of}: joint {worst + 1} or another is at its limit for {share:.0%} of the time"
    yield from _above(share, limits.at_limit, line)

    jerk = roughness(state.seconds, state.values)
    figures["jerk [rad/s3]"] = round(jerk, 1)
    yield from _above(jerk, limits.jerk, f"{state.of}: moves with a jerk of {jerk:.0f} rad/s3")

    followed = lag(command.seconds, command.values, state.seconds, state.values)
    if followed is None:
        return
    figures["lag [s]"] = round(followed.seconds, 3)
    figures["apart [rad]"] = round(followed.apart_rad, 4)
    late = f"{state.of}: follows its commands {followed.seconds:.2f} s late"
    yield from _above(followed.seconds, limits.lag_s, late)
    apart = f"{state.of}: is {followed.apart_rad:.2f} rad from where it is told"
    yield from _above(followed.apart_rad, limits.apart_rad, apart)


def _arms(tracks: Sequence[Track]) -> Iterator[tuple[Track, Track]]:
    """Commands and measured positions of each arm that has enough of both."""
    states = {state.of: state for state in _states(tracks)}
    for command in tracks:
        if command.kind != "command" or command.of not in states:
            continue
        state = states[command.of]
        if _sound(command) and _sound(state):
            yield command, state


def _sound(track: Track) -> bool:
    """Whether a track's positions can be compared with others."""
    if len(track.values) <= FEWEST or track.faults:
        return False
    in_order = (np.diff(track.stamps) >= 0).all()
    return bool(in_order and np.isfinite(track.values).all())


def _states(tracks: Sequence[Track]) -> list[Track]:
    """The measured positions of the arms."""
    states: list[Track] = []
    for track in tracks:
        of_arm = track.kind == "state" and track.of.endswith("arm")
        if of_arm and track.values.size:
            states.append(track)
    return states


def _figures(track: Track) -> dict[str, Any]:
    steps_s = np.diff(np.sort(track.stamps)) / SECOND
    figures: dict[str, Any] = {"messages": len(track.stamps), "lost": track.lost}
    if steps_s.sum() > 0:
        figures["rate [Hz]"] = round(len(steps_s) / float(steps_s.sum()), 2)
        figures["largest gap [s]"] = round(float(steps_s.max()), 3)
    if track.claim_hz:
        figures["claim [Hz]"] = track.claim_hz
    return figures


def _above(value: float, limits: tuple[float, float], line: str) -> Iterator[Issue]:
    """An issue where a value is above its yellow or its red limit."""
    yellow, red = limits
    if value > red:
        yield Issue("red", line)
    elif value > yellow:
        yield Issue("yellow", line)


def _at(track: Track, index: int) -> str:
    """When a message came."""
    seconds = (track.logs[index] - track.logs[0]) / SECOND
    return f"{seconds:.1f} s after its first message"
