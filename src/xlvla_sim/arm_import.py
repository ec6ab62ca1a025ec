"""From a maker's description of an arm to an entry and a URDF of xlvla.

Reading, mending and the shapes are those of hands (`hand_import`).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from xlvla.errors import XlvlaError, unknown
from xlvla_sim.hand_import import mend, names
from xlvla_sim.hand_import.fit import fit
from xlvla_sim.hand_import.importer import Maker, Say, read, refuse_strange
from xlvla_sim.hand_import.tree import WORLD, Joint, Solid, Tree
from xlvla_sim.hand_import.write import add_joint, add_link, quoted, shown

FLANGES = ("tool0", "link8", "ee_link", "end_effector", "attachment_site", "flange", "eef", "tcp")
"""How makers call the frame whose z points out of the arm, in the order of preference."""

SHAPES_OF_A_LINK = 2

TURN_RAD = 2 * np.pi
"""Limit of a joint that turns without end."""

ACCELERATION = 10.0
"""Where none is given [rad/s^2]; gentle."""

SLIDING_ACCELERATION = 1.0
"""The same where a joint slides [m/s^2]: an arm's limit holds for all of its joints."""

COLOUR = "0.75 0.77 0.80 1"


@dataclass(frozen=True)
class Choices:
    """What is not left to be found.

    Args:
        base, flange: links between which the arm is; '' is found.
        home: where episodes start [rad by joint]; of a joint not named zero, or the middle of its
            range where that does not hold zero.
        acceleration: limit of every joint [rad/s^2]; None where the maker publishes none.
    """

    base: str = ""
    flange: str = ""
    home: Mapping[str, float] = field(default_factory=dict[str, float])
    acceleration: float | None = None


def import_arm(
    file: Path, folder: Path, name: str, *, maker: Maker, choices: Choices, say: Say
) -> Path:
    """Reads an arm and writes its entry and URDF; returns the entry's path.

    Raises:
        XlvlaError: a file cannot be read, or something has to be said by an option.
    """
    whole = read(file, maker)
    refuse_strange(maker, [whole])
    tree = _turning(whole, maker)
    base = tree.link(choices.base).name if choices.base else _base(tree)
    flange = tree.link(choices.flange).name if choices.flange else _flange(tree, base)
    arm = mend.mended(_between(tree, base, flange), maker.limits, mend.ARM)
    joints = [joint for joint in arm.joints if joint.free]
    if not joints:
        raise XlvlaError(
            f"no joint moves {flange} against {base}: say --base LINK and --flange LINK, links are "
            f"{', '.join(tree.links)}{''.join(f'; {note}' for note in arm.notes)}"
        )
    home = _home(joints, choices.home)
    say(f"{file.name}: base {base}, flange {flange}: its z must point out of the arm")
    say(f"  joints {', '.join(joint.name for joint in joints)}")
    say(f"  home {', '.join(f'{joint} {angle:g}' for joint, angle in home.items())}")
    acceleration = choices.acceleration
    if acceleration is None:
        sliding = any(joint.type == "prismatic" for joint in joints)
        acceleration = SLIDING_ACCELERATION if sliding else ACCELERATION
        unit = "m/s^2 and rad/s^2" if sliding else "rad/s^2"
        say(f"  acceleration {acceleration:g} {unit}, gentle: say --acceleration")
    for note in arm.notes:
        say(f"  {note}")
    solids = {link.name: _solids(arm, link.name) for link in arm.links.values()}
    say(f"  {sum(map(len, solids.values()))} capsules and boxes on {len(solids)} links")
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / f"{name}.urdf").write_text(_urdf_text(arm, solids, name))
    entry = folder / f"{name}.py"
    given_none = choices.acceleration is None
    entry.write_text(_entry_text(name, flange, joints, home, acceleration, given_none))
    return entry


def _turning(tree: Tree, maker: Maker) -> Tree:
    """With limits for joints that turn without end: every vector of an arm has some."""
    joints: list[Joint] = []
    notes = list(tree.notes)
    for joint in tree.joints:
        unlimited = joint.type == "revolute" and not np.isfinite([joint.lower, joint.upper]).all()
        endless = unlimited and joint.endless
        if endless and joint.free and joint.name not in maker.limits:
            joint = replace(joint, lower=-TURN_RAD, upper=TURN_RAD)
            notes.append(f"joint {joint.name} turns without end: one turn to either side is used")
        joints.append(joint)
    return replace(tree, joints=tuple(joints), notes=tuple(notes))


def _base(tree: Tree) -> str:
    """The root, or what stands on the world alone."""
    if tree.root != WORLD:
        return tree.root
    standing = [joint.child for joint in tree.below[WORLD]]
    if len(standing) != 1:
        raise XlvlaError(f"{tree.name} has several bases: say --base, one of {', '.join(standing)}")
    return standing[0]


def _flange(tree: Tree, base: str) -> str:
    """Out along the joints until they branch, as a gripper's do: a frame there with a flange's
    name, else the last link that moves.
    """
    last = base
    while True:
        welded = tree.welded(last)
        below = [joint for link in welded for joint in tree.below[link] if joint.moves]
        if len(below) != 1:
            break
        last = below[0].child
    for word in FLANGES:
        for link in tree.welded(last):
            if link.lower().endswith(word):
                return link
    return last


def _between(tree: Tree, base: str, flange: str) -> Tree:
    """The links from the base to the flange and what is welded to them, and the joints between;
    what hangs on the flange, as a gripper, is left out.
    """
    way = tree.chain(flange, base)
    if flange != base and (not way or way[0].parent != base):
        raise XlvlaError(f"{flange} does not hang on {base}: say --base LINK and --flange LINK")
    chain = [base, *(joint.child for joint in way)]
    beyond = set(tree.subtree(flange)) - {flange}
    kept: list[str] = []
    for link in chain:
        for welded in tree.welded(link):
            if welded not in beyond and welded not in kept:
                kept.append(welded)
    inside = set(kept)
    joints = tuple(j for j in tree.joints if j.parent in inside and j.child in inside)
    left_out = [j.name for j in tree.joints if j.moves and j not in joints]
    notes = list(tree.notes)
    if left_out:
        notes.append(f"left out: {', '.join(left_out)} and what hangs on them")
    links = {name: tree.links[name] for name in tree.links if name in inside}
    return Tree(tree.name, base, links, joints, tuple(notes))


def _home(joints: Sequence[Joint], chosen: Mapping[str, float]) -> dict[str, float]:
    known = [joint.name for joint in joints]
    for name in chosen:
        if name not in known:
            raise unknown("joint of --home", name, known)
    home: dict[str, float] = {}
    for joint in joints:
        middle = round((joint.lower + joint.upper) / 2, 3)
        usual = 0.0 if joint.lower <= 0 <= joint.upper else middle
        home[joint.name] = chosen.get(joint.name, usual)
        if not joint.lower <= home[joint.name] <= joint.upper:
            raise XlvlaError(
                f"--home {joint.name}={home[joint.name]:g} is outside of its limits, "
                f"{joint.lower:g} to {joint.upper:g} rad"
            )
    return home


def _solids(arm: Tree, name: str) -> tuple[Solid, ...]:
    link = arm.links[name]
    return fit(link, SHAPES_OF_A_LINK).solids if link.surfaces else ()


def _urdf_text(arm: Tree, solids: Mapping[str, tuple[Solid, ...]], name: str) -> str:
    robot = ET.Element("robot", name=name)
    ET.SubElement(ET.SubElement(robot, "material", name="arm"), "color", rgba=COLOUR)
    for link in arm.links.values():
        add_link(robot, link, solids[link.name], "arm")
    for joint in arm.joints:
        add_joint(robot, joint)
    ET.indent(robot)
    return f'<?xml version="1.0"?>\n{ET.tostring(robot, encoding="unicode")}\n'


def _entry_text(
    name: str,
    flange: str,
    joints: Sequence[Joint],
    home: Mapping[str, float],
    acceleration: float,
    given_none: bool,
) -> str:
    title = names.plain_title(name)
    limit = f"    acceleration={acceleration},"
    if given_none:
        limit += "  # none was given; gentle"
    angles = [f"    {quoted(joint)}: {angle!r}," for joint, angle in home.items()]
    lines = [
        f'"""{title}, as `xlvla arm import` read it."""',
        "",
        "from pathlib import Path",
        "",
        "from xlvla.arm import Arm",
        "",
        "HOME = {",
        *angles,
        "}",
        "",
        "ARM = Arm(",
        f"    name={quoted(name)},",
        f"    title={quoted(title)},",
        f"    joints={shown(tuple(joint.name for joint in joints))},",
        f"    flange={quoted(flange)},",
        '    driver="ros2_control",',
        limit,
        f"    urdf=str(Path(__file__).parent / {quoted(name)} / {quoted(f'{name}.urdf')}),",
        '    home={"left": HOME, "right": HOME},',
        ")",
        "",
    ]
    return "\n".join(lines)
