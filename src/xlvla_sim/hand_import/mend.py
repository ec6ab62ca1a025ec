"""What a description says that no body can have: impossible inertia, limits of zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xlvla.errors import XlvlaError
from xlvla_sim.hand_import.tree import Inertial, Joint, Link, Tree


@dataclass(frozen=True)
class Usual:
    """What joints have where a maker gives no limits, and more than which no link and no whole
    weighs.
    """

    noun: str
    velocity_rad_s: float
    velocity_m_s: float
    effort_Nm: float
    effort_N: float
    most_kg: float
    heavy_kg: float


HAND = Usual("hand", 3.0, 0.1, 1.0, 20.0, most_kg=3.0, heavy_kg=2.5)
"""A finger closes in half a second with the force of a finger."""
ARM = Usual("arm", 1.0, 0.1, 50.0, 200.0, most_kg=60.0, heavy_kg=200.0)

DENSITY = 1100.0
"""Of links without a mass [kg/m^3], as of printed fingers."""
LEAST_KG = 1e-3
SLACK = 1e-3
"""By how much of itself a moment of inertia may exceed the sum of the other two: files round."""


def mended(
    tree: Tree,
    limits: Mapping[str, tuple[float, float]],
    usual: Usual = HAND,
    mass_kg: float | None = None,
) -> Tree:
    """The hand, or what else is `usual`, with masses and limits that can be simulated; its notes
    tell every change.

    Args:
        limits: position ranges [rad or m] by joint that replace the description's.
        mass_kg: of all links together, where the description's masses are not meant.

    Raises:
        XlvlaError: a joint has no limits, or they cannot be meant.
    """
    notes = list(tree.notes)
    _refuse_endless([joint for joint in tree.joints if joint.free and joint.name not in limits])
    joints = [_ranged(joint, limits, notes) for joint in tree.joints]
    _fix_followers(joints, notes)
    speeds = (usual.velocity_rad_s, usual.velocity_m_s)
    _fill(joints, "velocity", *speeds, "rad/s", "m/s", notes)
    _fill(joints, "effort", usual.effort_Nm, usual.effort_N, "Nm", "N", notes)
    moving = {joint.child for joint in joints if joint.moves}
    links: dict[str, Link] = {}
    for name, link in tree.links.items():
        links[name] = _weighed(link, name in moving, usual, notes)
    total = sum(link.inertial.mass for link in links.values() if link.inertial)
    if mass_kg and total:
        for name, link in links.items():
            links[name] = _times(link, mass_kg / total)
        notes.append(f"its links weighed {total:.3g} kg together, now {mass_kg:g} kg")
    elif total > usual.heavy_kg:
        notes.append(
            f"its links weigh {total:.1f} kg together, more than a {usual.noun} does"
            + ("; --mass KG makes them lighter" if usual is HAND else "")
        )
    return replace(tree, links=links, joints=tuple(joints), notes=tuple(notes))


def _refuse_endless(joints: Sequence[Joint]) -> None:
    """Raises XlvlaError where joints have no limits, all of them in one line."""
    endless = [joint for joint in joints if not np.isfinite([joint.lower, joint.upper]).all()]
    if not endless:
        return
    names = ", ".join(f"'{joint.name}'" for joint in endless)
    options = " ".join(f"--limit {joint.name}=LOW,HIGH" for joint in endless)
    have = "joint {} has" if len(endless) == 1 else "joints {} have"
    raise XlvlaError(f"{have.format(names)} no limits: give them by {options} in rad or m")


def _ranged(joint: Joint, limits: Mapping[str, tuple[float, float]], notes: list[str]) -> Joint:
    if joint.name in limits:
        lower, upper = limits[joint.name]
        joint = replace(joint, lower=lower, upper=upper)
    if not joint.free:
        return joint
    if joint.lower == joint.upper:
        notes.append(f"joint {joint.name}: its limits are both {joint.lower:g}, so it is fixed")
        pose = joint.pose @ joint.motion(joint.lower)
        return replace(joint, type="fixed", pose=pose)
    if joint.lower > joint.upper:
        raise XlvlaError(
            f"joint '{joint.name}' has limits {joint.lower:g} and {joint.upper:g}, the lower must "
            f"be below the upper: give them by --limit {joint.name}=LOW,HIGH"
        )
    if joint.type == "revolute" and max(abs(joint.lower), abs(joint.upper)) > 2 * np.pi + 0.01:
        raise XlvlaError(
            f"joint '{joint.name}' turns from {joint.lower:g} to {joint.upper:g} rad, more than a "
            f"full turn; are these degrees? give them by --limit {joint.name}=LOW,HIGH in rad"
        )
    return joint


def _fix_followers(joints: list[Joint], notes: list[str]) -> None:
    """What follows a joint that is fixed is fixed, too."""
    moving = {joint.name for joint in joints if joint.moves}
    for _ in joints:
        for index, joint in enumerate(joints):
            if joint.mimic and joint.moves and joint.mimic.joint not in moving:
                pose = joint.pose @ joint.motion(joint.mimic.offset)
                joints[index] = replace(joint, type="fixed", mimic=None, pose=pose)
                moving.discard(joint.name)
                notes.append(f"joint {joint.name} follows {joint.mimic.joint}: it is fixed, too")


def _fill(
    joints: list[Joint],
    key: str,
    turning: float,
    sliding: float,
    turning_unit: str,
    sliding_unit: str,
    notes: list[str],
) -> None:
    """Gives joints whose limit of a kind is not above zero that of the others, or a usual one."""
    for kind, usual, unit in (
        ("revolute", turning, turning_unit),
        ("prismatic", sliding, sliding_unit),
    ):
        of_kind = [joint for joint in joints if joint.type == kind]
        known = [getattr(j, key) for j in of_kind if np.isfinite(getattr(j, key))]
        known = [value for value in known if value > 0]
        value = float(np.median(known)) if known else usual
        named: list[str] = []
        for index, joint in enumerate(joints):
            if joint.type != kind:
                continue
            given = getattr(joint, key)
            if not np.isfinite(given) or given <= 0:
                joints[index] = replace(joint, **{key: value})
                if joint.free:
                    named.append(joint.name)
        if named:
            of = "the median of the others" if known else "a usual value"
            notes.append(f"{key} limit {value:g} {unit}, {of}, for {', '.join(named)}: none given")


def _weighed(link: Link, moves: bool, usual: Usual, notes: list[str]) -> Link:
    """The link with a mass and inertia that a body can have."""
    given = link.inertial
    fault = _fault(given, usual)
    if given is not None and not fault:
        return link
    points = link.points
    if given is None and not moves and not len(points):
        return link
    size = np.ptp(points, axis=0) if len(points) else np.full(3, 0.01)
    size = np.maximum(size, 0.004)
    centre = (points.min(axis=0) + points.max(axis=0)) / 2 if len(points) else np.zeros(3)
    most_kg = usual.most_kg
    mass = given.mass if given is not None and LEAST_KG <= given.mass <= most_kg else 0.0
    if not mass:
        # A box around a link is filled to about a half.
        mass = float(np.clip(0.5 * DENSITY * np.prod(size), LEAST_KG, most_kg))
    square = np.square(size)
    inertia = np.diag(mass / 12 * (square.sum() - square))
    if moves or given is not None:
        notes.append(f"link {link.name}: {fault or 'no inertia'}, now a box of {mass:.3g} kg")
    return replace(link, inertial=Inertial(mass, centre, inertia))


def _times(link: Link, factor: float) -> Link:
    """The link that many times as heavy."""
    given = link.inertial
    if given is None:
        return link
    inertial = Inertial(factor * given.mass, given.centre, factor * given.inertia)
    return replace(link, inertial=inertial)


def _fault(inertial: Inertial | None, usual: Usual) -> str:
    """What is impossible about an inertia; nothing where it is a body's."""
    if inertial is None:
        return ""
    if not inertial.mass > 0:
        return f"a mass of {inertial.mass:g} kg"
    if inertial.mass > usual.most_kg:
        return f"a mass of {inertial.mass:g} kg, more than a {usual.noun}'s"
    moments = np.linalg.eigvalsh(inertial.inertia)
    shown = ", ".join(f"{moment:.2g}" for moment in moments)
    if moments[0] <= 0:
        return f"moments of inertia {shown}, not all above 0"
    if moments[0] + moments[1] < moments[2] * (1 - SLACK):
        return f"moments of inertia {shown}, one above the sum of the others"
    if moments[2] > 10 * inertial.mass * 0.3**2:
        return f"moments of inertia {shown}, too large for its mass"
    return ""
