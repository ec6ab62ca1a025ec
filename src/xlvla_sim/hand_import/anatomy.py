"""Finds palm, fingers, tips, thumb and side of a hand by its names and by how it moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from xlvla.errors import XlvlaError, unknown
from xlvla.types import FINGERS, Finger, Side
from xlvla_sim.hand_import import names
from xlvla_sim.hand_import.tree import WORLD, Joint, Link, Tree, applied, unit

SHORT = 0.5
"""A branch of less than this share of the longest one's reach is no finger."""
OF_ANOTHER = 0.9
"""A branch that moves with another, reaches less than this share of it and begins beside it is part
of its linkage.
"""
BESIDE_M = 0.045
END_M = 0.012
"""A fingertip is the middle of the last part of a finger, this long."""
NEAR_END_M = 0.025
FORWARD = 0.5
"""A thumb points forward if the cosine between it and the fingers is above this."""
SURE_M = 0.003
"""The thumb is on a side of the palm if it is this far from the middle."""


@dataclass(frozen=True)
class Choices:
    """What the user says about a hand."""

    palm: str = ""
    thumb: str = ""
    tips: Mapping[str, str] = field(default_factory=dict[str, str])
    side: Side | None = None


@dataclass(frozen=True)
class Digit:
    """A finger: its first link, its tip and the free joints that move it, from the palm outwards.

    Its last link bears the pad.
    """

    finger: Finger
    base: str
    tip: str
    joints: tuple[str, ...]


@dataclass(frozen=True)
class Anatomy:
    """A hand without what carries it.

    Args:
        tree: its root is the palm's link; every tip is a link.
        axes: rotation [3, 3] whose columns are, in the palm's frame, the directions out of the
            palm (x), towards a right hand's thumb (y) and along the fingers (z).
        notes: how it was found.
    """

    tree: Tree
    digits: Mapping[Finger, Digit]
    axes: np.ndarray
    side: Side
    notes: tuple[str, ...]

    @property
    def palm(self) -> str:
        return self.tree.root

    def tips(self, q: Mapping[str, float]) -> dict[Finger, np.ndarray]:
        """Tips [3] m in the palm's frame at joint positions [rad or m]."""
        return {
            finger: self.tree.pose(digit.tip, q)[:3, 3] for finger, digit in self.digits.items()
        }


@dataclass(frozen=True)
class _Branch:
    """What hangs on one moving joint of the palm."""

    joint: Joint
    links: list[str]
    last: str
    """The link that bears the pad."""
    reach: float
    masters: set[str]


def hand_of(whole: Tree, choices: Choices) -> Tree:
    """A description from the palm outwards."""
    return _below(whole, _palm(whole, choices))


def find(tree: Tree, choices: Choices, file_name: str) -> Anatomy:
    """Palm, fingers, side and axes of a hand whose root is the palm.

    Raises:
        XlvlaError: something cannot be told from the file; it names the option that says it, and
            the candidates.
    """
    branches = _fingers(tree, choices)
    named = _named(tree, branches, choices)
    digits: dict[Finger, Digit] = {}
    for finger in FINGERS:
        if finger in named:
            tree, digits[finger] = _digit(tree, finger, named[finger], choices)
    notes: list[str] = []
    axes, thumb_m = _axes(tree, digits)
    side = _side(tree, thumb_m, choices, file_name, notes)
    if (side == "right") != (thumb_m > 0) and len(digits) > 2:
        notes.append(f"the thumb's side and --side {side} disagree: the palm is turned round")
        axes = axes @ np.diag([-1.0, -1.0, 1.0])
    return Anatomy(tree, digits, axes, side, tuple(notes))


def _palm(tree: Tree, choices: Choices) -> str:
    """The link that bears most fingers."""
    if choices.palm:
        return tree.body(tree.link(choices.palm).name)
    counts: dict[str, int] = {}
    for body in {tree.body(link): None for link in tree.links}:
        count = len(_branches(tree, body))
        if count >= 2:
            counts[body] = count
    if len(counts) > 1:
        counts.pop(WORLD, None)
    if not counts:
        raise XlvlaError(
            f"{tree.name} has no link with two or more fingers; --palm LINK says which is the palm:"
            f" {', '.join(tree.links)}"
        )
    most = max(counts.values())
    palms = [link for link, count in counts.items() if count == most]
    if len(palms) > 1:
        raise XlvlaError(
            f"{tree.name} has several palms with {most} fingers: say --palm {' or '.join(palms)}"
        )
    return palms[0]


def _branches(tree: Tree, body: str) -> list[Joint]:
    """The moving joints of a body whose links have surfaces."""
    joints: list[Joint] = []
    for link in tree.welded(body):
        for joint in tree.below[link]:
            if not joint.moves:
                continue
            if any(tree.links[below].surfaces for below in tree.subtree(joint.child)):
                joints.append(joint)
    return joints


def _below(tree: Tree, palm: str) -> Tree:
    """The hand from its palm outwards; what carries it is left out and noted."""
    links = tree.subtree(palm)
    joints = tuple(joint for joint in tree.joints if joint.parent in links)
    others = set(tree.by_name) - {joint.name for joint in joints}
    notes = [note for note in tree.notes if not _is_about(note, others)]
    carried = [joint.name for joint in tree.chain(palm) if joint.moves]
    if carried:
        notes.append(
            f"joints {', '.join(carried)} carry the palm {palm}: they are left out, with the links "
            "before it"
        )
    kept = {name: tree.links[name] for name in links}
    lost = [joint.name for joint in joints if joint.mimic and not _master_in(joints, joint)]
    if lost:
        raise XlvlaError(
            f"joint '{lost[0]}' follows a joint that does not belong to the palm {palm}: say "
            "another --palm"
        )
    return Tree(tree.name, palm, kept, joints, tuple(notes))


def _is_about(note: str, joints: set[str]) -> bool:
    """Whether a note is about one of these joints."""
    return any(note.startswith((f"joint {name} ", f"joint {name}:")) for name in joints)


def _master_in(joints: Sequence[Joint], joint: Joint) -> bool:
    return any(joint.mimic and other.name == joint.mimic.joint for other in joints)


def _fingers(tree: Tree, choices: Choices) -> list[_Branch]:
    """The branches of the palm that are fingers."""
    branches: list[_Branch] = []
    for joint in _branches(tree, tree.root):
        branches += _parted(tree, _branch(tree, joint))
    if choices.tips:
        wanted = {tree.link(link).name for link in choices.tips.values()}
        return [branch for branch in branches if wanted & set(branch.links)]
    longest = max(branch.reach for branch in branches)
    fingers: list[_Branch] = []
    for branch in sorted(branches, key=lambda branch: -branch.reach):
        is_thumb = names.finger_of(branch.links) == "thumb" or choices.thumb in branch.links
        if branch.reach < SHORT * longest and not is_thumb:
            continue
        if not any(_is_part(tree, branch, other) for other in fingers):
            fingers.append(branch)
    fingers.sort(key=branches.index)
    if len(fingers) < 2:
        raise XlvlaError(
            f"the palm {tree.root} has one finger: say --palm, or --tips thumb=LINK,index=LINK,... "
            f"of {', '.join(tree.links)}"
        )
    return fingers


def _parted(tree: Tree, branch: _Branch) -> list[_Branch]:
    """The fingers on a part of the palm that moves, as their names say; else the branch itself."""
    for link in branch.links:
        parts = [_branch(tree, joint) for joint in _branches(tree, link)]
        told = {_finger(tree, part) for part in parts}
        if len(parts) > 1 and len(told) == len(parts) and None not in told:
            return parts
    return [branch]


def _finger(tree: Tree, branch: _Branch) -> Finger | None:
    """The finger that a branch is by the names of its links and joints."""
    return names.finger_of([*branch.links, *(tree.above[link].name for link in branch.links)])


def _is_part(tree: Tree, branch: _Branch, other: _Branch) -> bool:
    """Whether a branch is part of another one's linkage."""
    first = tree.pose(branch.joint.child, {})[:3, 3]
    second = tree.pose(other.joint.child, {})[:3, 3]
    beside = bool(np.linalg.norm(first - second) < BESIDE_M)
    together = bool(branch.masters & other.masters)
    return beside and together and branch.reach < OF_ANOTHER * other.reach


def _branch(tree: Tree, joint: Joint) -> _Branch:
    links = tree.subtree(joint.child)
    best: tuple[int, float, str] | None = None
    for link in links:
        if not tree.above[link].moves:
            continue
        chain = tree.chain(link, joint.parent)
        reach = sum(float(np.linalg.norm(each.pose[:3, 3])) for each in chain[1:])
        points = tree.body_points(link)
        if len(points):
            reach += float(np.linalg.norm(points, axis=1).max())
            found = (sum(each.moves for each in chain), reach, link)
            best = found if best is None else max(best, found)
    assert best is not None
    masters = {each.name for each in tree.masters(tree.chain(best[2], tree.root))}
    return _Branch(joint, links, best[2], best[1], masters)


def _named(tree: Tree, branches: list[_Branch], choices: Choices) -> dict[Finger, _Branch]:
    """Which branch is which finger."""
    if choices.tips:
        return _chosen(tree, branches, choices)
    found: list[Finger | None] = [_finger(tree, branch) for branch in branches]
    told: dict[Finger, _Branch] = {}
    for finger, branch in zip(found, branches, strict=True):
        if finger:
            told[finger] = branch
    thumb = _thumb(tree, branches, told, choices)
    all_told = len(told) == len(branches) and told.get("thumb") is thumb
    # Of few fingers those beside the thumb are told by place, whatever they are called: pinches
    # are made with index and middle finger.
    if all_told and (len(branches) > 3 or {"index", "middle"} <= set(told)):
        return told
    if len(branches) > len(FINGERS):
        raise XlvlaError(
            f"the palm {tree.root} has {len(branches)} fingers, of five at most: say --tips "
            f"thumb=LINK,index=LINK,... of {_last_links(branches)}"
        )
    # Beside the thumb comes the index finger, and so on.
    place = {id(branch): tree.pose(branch.joint.child, {})[:3, 3] for branch in branches}
    others = [branch for branch in branches if branch is not thumb]
    others.sort(key=lambda branch: float(np.linalg.norm(place[id(branch)] - place[id(thumb)])))
    rest: tuple[Finger, ...] = ("index", "middle", "ring", "little")
    return {"thumb": thumb, **dict(zip(rest, others, strict=False))}


def _chosen(tree: Tree, branches: list[_Branch], choices: Choices) -> dict[Finger, _Branch]:
    known: dict[str, Finger] = {finger: finger for finger in FINGERS}
    named: dict[Finger, _Branch] = {}
    for word, link in choices.tips.items():
        if word not in known:
            raise unknown("finger", word, FINGERS)
        holding = [branch for branch in branches if link in branch.links]
        if not holding:
            raise XlvlaError(f"link '{link}' is on no finger of the palm {tree.root}")
        named[known[word]] = holding[0]
    if "thumb" not in named or len(named) < 2:
        raise XlvlaError("--tips needs a thumb and a finger: --tips thumb=LINK,index=LINK,...")
    return named


def _thumb(
    tree: Tree, branches: list[_Branch], told: Mapping[Finger, _Branch], choices: Choices
) -> _Branch:
    if choices.thumb:
        link = tree.link(choices.thumb).name
        holding = [branch for branch in branches if link in branch.links]
        if not holding:
            raise XlvlaError(
                f"--thumb {link} is on no finger of the palm {tree.root}: say one of "
                f"{_last_links(branches)}"
            )
        return holding[0]
    if "thumb" in told:
        return told["thumb"]
    if len(branches) == 2:
        return branches[0]
    # The thumb closes against the others.
    ways = np.array([_closing(tree, branch) for branch in branches])
    alike = ways @ ways.T
    score = (alike.sum(axis=1) - 1) / (len(branches) - 1)
    first, second = np.argsort(score)[:2]
    if score[second] - score[first] < 0.3:
        raise XlvlaError(
            "which finger is the thumb is clear from neither names nor motion: say --thumb LINK, "
            f"one of {_last_links(branches)}"
        )
    return branches[int(first)]


def _last_links(branches: Sequence[_Branch]) -> str:
    return ", ".join(branch.last for branch in branches)


def _closing(tree: Tree, branch: _Branch) -> np.ndarray:
    """Direction [3] in which the end of a branch moves when its joints go half-way to their
    farther ends.
    """
    points = tree.body_points(branch.last)
    end = points[int(np.linalg.norm(points, axis=1).argmax())]
    masters = tree.masters(tree.chain(branch.last, tree.root))
    rest = {joint.name: float(np.clip(0, joint.lower, joint.upper)) for joint in masters}
    start = applied(tree.pose(branch.last, rest), end[None])[0]
    way = np.zeros(3)
    for joint in masters:
        far = max((joint.lower, joint.upper), key=lambda v, at=rest[joint.name]: abs(v - at))
        q = {**rest, joint.name: (rest[joint.name] + far) / 2}
        moved = applied(tree.pose(branch.last, q), end[None])[0] - start
        way += moved * np.linalg.norm(moved)
    return unit(way)


def _digit(tree: Tree, finger: Finger, branch: _Branch, choices: Choices) -> tuple[Tree, Digit]:
    """The finger and the hand with a link for its tip."""
    last = branch.last
    if finger in choices.tips:
        link = choices.tips[finger]
        last = tree.body(link)
        if link != last:
            return tree, _with_joints(tree, finger, branch, link)
    end = _end(tree, last)
    tips = [
        name
        for name in tree.welded(last)[1:]
        if "tip" in name.lower() and not tree.links[name].points.size
    ]
    near = {
        name: float(np.linalg.norm(tree.pose(name, {}, top=last)[:3, 3] - end)) for name in tips
    }
    tip = min(near, key=near.__getitem__) if near else ""
    if not tip or near[tip] > NEAR_END_M:
        tip = f"{finger}_tip" if f"{finger}_tip" not in tree.links else f"{finger}_tip_point"
        pose = np.eye(4)
        pose[:3, 3] = end
        joint = Joint(f"{tip}_joint", "fixed", last, tip, pose)
        tree = replace(tree, links={**tree.links, tip: Link(tip)}, joints=(*tree.joints, joint))
    return tree, _with_joints(tree, finger, branch, tip)


def _with_joints(tree: Tree, finger: Finger, branch: _Branch, tip: str) -> Digit:
    masters = tree.masters(tree.chain(tip, tree.root))
    return Digit(finger, branch.joint.child, tip, tuple(joint.name for joint in masters))


def _end(tree: Tree, last: str) -> np.ndarray:
    """The middle [3] m of a finger's last part, in its last link's frame."""
    points = tree.body_points(last)
    far = np.linalg.norm(points, axis=1)
    out = unit(points[far >= np.percentile(far, 90)].mean(axis=0))
    along = points @ out
    end = points[along > along.max() - END_M]
    # Corners lie where a surface bends: their box is a better middle than their mean.
    middle = (end.min(axis=0) + end.max(axis=0)) / 2
    return middle + out * (along.max() - END_M / 2 - middle @ out)


def digits_of(tree: Tree, tips: Mapping[Finger, str]) -> dict[Finger, Digit]:
    """The fingers of a hand whose tips are known, by finger."""
    digits: dict[Finger, Digit] = {}
    for finger, tip in tips.items():
        chain = tree.chain(tip)
        moving = [joint for joint in chain if joint.moves]
        joints = tuple(joint.name for joint in tree.masters(chain))
        digits[finger] = Digit(finger, moving[0].child if moving else tip, tip, joints)
    return digits


def resting(tree: Tree) -> dict[str, float]:
    """Every free joint at zero, or at the limit that is nearest to it."""
    return {
        joint.name: float(np.clip(0.0, joint.lower, joint.upper))
        for joint in tree.joints
        if joint.free
    }


def straight(tree: Tree, digits: Mapping[Finger, Digit]) -> dict[str, float]:
    """Joint positions [rad or m] at which every finger reaches farthest; a gripper's are its
    opening.
    """
    q = resting(tree)
    gripper = len(digits) == 2
    for digit in digits.values():
        for _ in range(2):
            for name in digit.joints:
                joint = tree.by_name[name]
                values = [q[name], *np.linspace(joint.lower, joint.upper, 13)]
                reach = [
                    _opening(tree, digits, {**q, name: value})
                    if gripper
                    else _reach(tree, digit, {**q, name: value})
                    for value in values
                ]
                # Of equal reaches the one nearest to rest.
                score = np.array(reach) - 1e-3 * np.abs(np.array(values) - q[name])
                q[name] = float(values[int(score.argmax())])
    return q


def _reach(tree: Tree, digit: Digit, q: Mapping[str, float]) -> float:
    tip = tree.pose(digit.tip, q)[:3, 3]
    return float(np.linalg.norm(tip - tree.pose(digit.base, q)[:3, 3]))


def _opening(tree: Tree, digits: Mapping[Finger, Digit], q: Mapping[str, float]) -> float:
    first, second = (tree.pose(digit.tip, q)[:3, 3] for digit in digits.values())
    return float(np.linalg.norm(first - second))


def _axes(tree: Tree, digits: Mapping[Finger, Digit]) -> tuple[np.ndarray, float]:
    """The hand's axes as of a right hand, and how far [m] the thumb is towards +y."""
    q = straight(tree, digits)
    tips = {finger: tree.pose(digit.tip, q)[:3, 3] for finger, digit in digits.items()}
    bases = {finger: tree.pose(digit.base, q)[:3, 3] for finger, digit in digits.items()}
    others: list[Finger] = [finger for finger in digits if finger != "thumb"]
    if len(digits) == 2:
        # A gripper's palm faces along its opening, the thumb before the palm as in a pinch.
        x = unit(tips["thumb"] - tips[others[0]])
        z = np.mean([tips[finger] - bases[finger] for finger in digits], axis=0)
        z = unit(z - x * (x @ z))
        return np.stack([x, np.cross(z, x), z], axis=1), 0.0
    ways: dict[Finger, np.ndarray] = {}
    for finger in digits:
        ways[finger] = unit(tips[finger] - bases[finger])
    z = _along(np.array([ways[finger] for finger in others]))
    if len(digits) == 3 and unit(z) @ ways["thumb"] > FORWARD:
        # Three fingers stand around a palm, the thumb as far forward as the others.
        z = z + ways["thumb"]
    z = unit(z)
    x = np.zeros(3)
    for finger in others:
        for name in digits[finger].joints:
            joint = tree.by_name[name]
            far = max((joint.lower, joint.upper), key=lambda v, at=q[name]: abs(v - at))
            half = {**q, name: (q[name] + far) / 2}
            way = tree.pose(digits[finger].tip, half)[:3, 3] - tips[finger]
            way -= z * (z @ way)
            x += way * np.linalg.norm(way)
    x = unit(x - z * (z @ x))
    y = np.cross(z, x)
    middle = np.mean([bases[finger] for finger in others], axis=0)
    thumb = (tips["thumb"] + bases["thumb"]) / 2
    return np.stack([x, y, z], axis=1), float(y @ (thumb - middle))


def _along(ways: np.ndarray) -> np.ndarray:
    """The direction [3] of fingers [N, 3]: of three or more, that of the one which is most like the
    others, so that one spread finger turns nothing.
    """
    if len(ways) < 3:
        return ways.mean(axis=0)
    return ways[int((ways @ ways.T).sum(axis=1).argmax())]


def _side(tree: Tree, thumb_m: float, choices: Choices, file_name: str, notes: list[str]) -> Side:
    if choices.side:
        return choices.side
    told = names.side_of([*tree.links, *tree.by_name]) or names.side_of([tree.name, file_name])
    seen: Side | None = None
    if abs(thumb_m) >= SURE_M:
        seen = "right" if thumb_m > 0 else "left"
    if told and seen and told != seen:
        raise XlvlaError(
            f"names say that this is a {told} hand, the thumb is where a {seen} hand's is: say "
            "--side left or --side right"
        )
    if told or seen:
        notes.append(f"it is a {told or seen} hand, as its {'names say' if told else 'thumb says'}")
        return told or seen or "right"
    notes.append("neither names nor a thumb tell its side: taken as a right one")
    return "right"
