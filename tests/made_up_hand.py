"""A hand that the tests make up: an entry and two URDFs in a folder of its own, as a lab adds one."""

from __future__ import annotations

import re
from pathlib import Path

from xlvla import catalog
from xlvla.types import SIDES

NAME = "mitten"
_MODEL = "inspire"
_PREFIX = "mitten_"

_ENTRY = """from pathlib import Path

from xlvla.hand import Hand

HAND = Hand(
    name="{name}",
    title="A made-up hand",
    joints={joints},
    tips={tips},
    palm="{palm}",
    driver="none",
    urdf=str(Path(__file__).parent / "{{side}}.urdf"),
)
"""


def write(folder: Path) -> None:
    """Writes the hand: a known one whose joints, links and fingers the codec has never met."""
    model = catalog.hand(_MODEL)
    tips = {finger: _PREFIX + link for finger, link in model.tips.items() if finger != "little"}
    joints = tuple(_PREFIX + joint for joint in model.joints)
    entry = _ENTRY.format(name=NAME, joints=joints, tips=tips, palm=_PREFIX + model.palm)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.py").write_text(entry)
    for side in SIDES:
        (folder / f"{side}.urdf").write_text(_renamed(model.urdf_path(side).read_text()))


def _renamed(xml: str) -> str:
    """A URDF with other names for its joints and links."""
    xml = re.sub(r'<(joint|link) name="', rf"\g<0>{_PREFIX}", xml)
    xml = re.sub(r'<(parent|child) link="', rf"\g<0>{_PREFIX}", xml)
    return re.sub(r'<mimic joint="', rf"\g<0>{_PREFIX}", xml)
