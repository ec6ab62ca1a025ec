"""From a maker's files to a hand of xlvla, step by step."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from xlvla.errors import XlvlaError, unknown
from xlvla.types import Side
from xlvla.urdf import Mimic
from xlvla_sim.hand_import import anatomy as anatomy_module
from xlvla_sim.hand_import import mend, mount, names, pair, read_mjcf, read_urdf, write
from xlvla_sim.hand_import.anatomy import Anatomy, Choices
from xlvla_sim.hand_import.fit import Fit, fit
from xlvla_sim.hand_import.tree import Solid, Tree

SHAPES_OF_A_PALM = 6
SHAPES_OF_A_LINK = 2

Say = Callable[[str], None]
Sides = dict[Side, write.Ready]


@dataclass(frozen=True)
class Maker:
    """What is needed to read a maker's files.

    Args:
        packages: folders of `package://` by name.
        arguments: of a xacro file.
        limits: position ranges [rad or m] by joint that the files lack.
        couplings: of joints that follow others, by joint, that the files lack; of one side's
            joints, where the other's names differ by the side's word only.
        mass_kg: of all links of a side, where the files' masses are not meant.
    """

    packages: Mapping[str, Path] = field(default_factory=dict[str, Path])
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Mapping[str, tuple[float, float]] = field(
        default_factory=dict[str, tuple[float, float]]
    )
    couplings: Mapping[str, Mimic] = field(default_factory=dict[str, Mimic])
    mass_kg: float | None = None


def import_hand(
    file: Path,
    left_file: Path | None,
    folder: Path,
    name: str,
    *,
    maker: Maker,
    choices: Choices,
    say: Say,
) -> Path:
    """Reads one side or both, and writes an entry and two URDFs; returns the entry's path.

    Raises:
        XlvlaError: a file cannot be read, or something has to be said by an option.
    """
    if left_file is None:
        tree = read(file, maker)
        refuse_strange(maker, [tree])
        sides, joints = _with_mirror_image(_found(tree, file, maker, choices, say), say)
    else:
        maker = replace(maker, couplings=_of_both_sides(maker.couplings))
        trees = [read(each, maker) for each in (file, left_file)]
        refuse_strange(maker, trees)
        first = _found(trees[0], file, maker, choices, say)
        second = _found(trees[1], left_file, maker, _for_other_side(choices, first), say)
        if first.side == second.side:
            raise XlvlaError(
                f"{file.name} and {left_file.name} are both a {first.side} hand: --left takes the "
                "file of the left one, --side says which side the first is"
            )
        sides, joints = _two_sides(first, second, say)
    return write.write(folder, name, names.plain_title(name), sides, joints)


def _with_mirror_image(first: Anatomy, say: Say) -> tuple[Sides, Mapping[str, str]]:
    """Both sides of a hand of which one is described, and the left joint of every right one."""
    say(f"{first.side} only: the other side is its mirror image")
    pose = _mounted(first, say)
    solids = _fitted(first, say)
    other = pair.mirrored(first)
    # The links of both come in the same order.
    mirrored = [tuple(map(pair.mirrored_solid, solids[name])) for name in first.tree.links]
    other_solids = dict(zip(other.tree.links, mirrored, strict=True))
    sides: Sides = {
        first.side: write.Ready(first, pose, solids),
        other.side: write.Ready(other, pair.mirrored_pose(pose), other_solids),
    }
    free = {side: _free(ready.anatomy) for side, ready in sides.items()}
    return sides, dict(zip(free["right"], free["left"], strict=True))


def _two_sides(first: Anatomy, second: Anatomy, say: Say) -> tuple[Sides, Mapping[str, str]]:
    """Both sides as they are described, and the left joint of every right one."""
    by_side: dict[Side, Anatomy] = {first.side: first, second.side: second}
    matched = pair.match(by_side["right"], by_side["left"])
    for line in matched.lines():
        say(line)
    sides: Sides = {}
    for side, anatomy in by_side.items():
        pose = _mounted(anatomy, say)
        sides[side] = write.Ready(anatomy, pose, _fitted(anatomy, say))
    return sides, matched.joints


def side_of(file: Path, maker: Maker, choices: Choices, say: Say) -> Anatomy:
    """One side in a file, as it is found; every finding is said in a line."""
    return _found(read(file, maker), file, maker, choices, say)


def refuse_strange(maker: Maker, trees: Sequence[Tree]) -> None:
    """Raises XlvlaError where something is said about a joint that no file has."""
    known = list(dict.fromkeys(name for tree in trees for name in tree.by_name))
    for option, names_said in (("--limit", maker.limits), ("--mimic", maker.couplings)):
        for name in names_said:
            if name not in known:
                raise unknown(f"joint of {option}", name, known)


def _of_both_sides(couplings: Mapping[str, Mimic]) -> dict[str, Mimic]:
    """Couplings with their twins of the other side's word; what is said goes before these."""
    twins = {
        names.other_side(name): replace(mimic, joint=names.other_side(mimic.joint))
        for name, mimic in couplings.items()
    }
    return {**twins, **couplings}


def _found(tree: Tree, file: Path, maker: Maker, choices: Choices, say: Say) -> Anatomy:
    found = anatomy_module.find(_mended(tree, choices, maker), choices, file.stem)
    say(f"{file.name}: palm {found.palm}")
    for finger, digit in found.digits.items():
        say(f"  {finger}: joints {', '.join(digit.joints)}; tip {digit.tip}")
    for note in (*found.tree.notes, *found.notes):
        say(f"  {note}")
    return found


def _mended(tree: Tree, choices: Choices, maker: Maker) -> Tree:
    """The hand alone, mended: what carries it may be as it likes."""
    hand = anatomy_module.hand_of(tree, choices)
    return mend.mended(hand, maker.limits, mass_kg=maker.mass_kg)


def read(file: Path, maker: Maker) -> Tree:
    """The description in a URDF, xacro or MJCF file."""
    if not file.is_file():
        raise XlvlaError(f"no file at {file}")
    try:
        text = file.read_text()
    except UnicodeDecodeError:
        raise XlvlaError(f"{file} is no URDF, xacro or MJCF: it is not text") from None
    try:
        tag = ET.fromstring(text).tag
    except ET.ParseError as error:
        raise XlvlaError(f"{file} is not well-formed XML: {error}") from None
    if tag == "mujoco":
        return read_mjcf.read(file, maker.limits, maker.couplings)
    if tag == "mujocoinclude":
        raise XlvlaError(f"{file} is no whole model{read_mjcf.wholes(file)}")
    if tag != "robot":
        raise XlvlaError(
            f"{file} is no URDF, xacro or MJCF: its outermost element is <{tag}>, not <robot> or "
            "<mujoco>"
        )
    return read_urdf.read(file, maker.packages, maker.arguments).following(maker.couplings)


def _for_other_side(choices: Choices, first: Anatomy) -> Choices:
    """The same choices for the other side's file, where names have the other side's word."""
    other: Side = "left" if first.side == "right" else "right"
    return Choices(
        palm=names.other_side(choices.palm),
        thumb=names.other_side(choices.thumb),
        tips={finger: names.other_side(link) for finger, link in choices.tips.items()},
        side=other if choices.side else None,
    )


def _free(anatomy: Anatomy) -> list[str]:
    return [joint.name for joint in anatomy.tree.joints if joint.free]


def _mounted(anatomy: Anatomy, say: Say) -> np.ndarray:
    pose, line = mount.proposed(anatomy)
    say(f"mount ({anatomy.side}): {line}")
    return pose


def _fitted(anatomy: Anatomy, say: Say) -> dict[str, tuple[Solid, ...]]:
    tree = anatomy.tree
    fits: dict[str, Fit] = {}
    for link in tree.links.values():
        most = SHAPES_OF_A_PALM if tree.body(link.name) == tree.root else SHAPES_OF_A_LINK
        fits[link.name] = fit(link, most) if link.surfaces else Fit(())
    count = sum(len(each.solids) for each in fits.values())
    measured = {name: each for name, each in fits.items() if each.most > 0}
    line = f"shapes ({anatomy.side}): {count} capsules and boxes on {len(tree.links)} links"
    if measured:
        mean = np.mean([each.mean for each in measured.values()])
        worst = max(measured, key=lambda name: measured[name].most)
        line += (
            f"; surface error {1000 * mean:.1f} mm on average, 95% below "
            f"{1000 * np.mean([each.most for each in measured.values()]):.1f} mm, worst link "
            f"{worst} {1000 * measured[worst].mean:.1f} / {1000 * measured[worst].most:.1f} mm"
        )
    say(line)
    return {name: each.solids for name, each in fits.items()}
