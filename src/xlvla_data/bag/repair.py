"""Makes whole again what a killed recorder left behind."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from xlvla.errors import XlvlaError
from xlvla_data.bag import scan
from xlvla_data.bag.card import read_card
from xlvla_data.bag.layout import METADATA, mcap_path
from xlvla_data.bag.reader import Bag, bags, in_use
from xlvla_data.bag.writer import SPARE, BagWriter

KILLED = "its recorder was killed; up to a second at its end may be missing"


def repair(folder: Path) -> bool:
    """Writes a torn bag anew, with everything it still has; whether there was something to do. XlvlaError where there is no space."""
    bag = Bag(folder)
    if bag.whole or in_use(folder):
        return False
    beside = folder / ".repair" / folder.name
    shutil.rmtree(beside.parent, ignore_errors=True)
    try:
        _copy(bag, beside)
    except OSError as error:
        shutil.rmtree(beside.parent, ignore_errors=True)
        raise XlvlaError(f"{folder} cannot be repaired: {error.strerror}") from None
    for name in (bag.path.name, METADATA):
        (beside / name).replace(folder / name)
    shutil.rmtree(beside.parent)
    (folder / SPARE).unlink(missing_ok=True)
    _close_card(folder)
    return True


def repair_all(folder: Path) -> list[Path]:
    """Repairs the bags of a folder of sessions; those that needed it. A bag without a single whole record is left alone."""
    repaired = []
    for path in bags(folder):
        try:
            if not (path / METADATA).is_file() and mcap_path(path).is_file() and repair(path):
                repaired.append(path)
        except XlvlaError:
            continue
    return repaired


def _copy(bag: Bag, folder: Path) -> None:
    writer = BagWriter(folder, list(bag.topics.values()), os.environ.get("ROS_DISTRO", ""))
    for chunk in scan.messages(bag.path):
        for message in chunk:
            writer.add(message.topic, message.data, message.log_ns, message.sent_ns, message.sequence)
        writer.flush()
    writer.close()


def _close_card(folder: Path) -> None:
    try:
        card = read_card(folder)
    except XlvlaError:  # a bag of somebody else's
        return
    if card.state != "recording":
        return
    about = yaml.safe_load((folder / METADATA).read_text())["rosbag2_bagfile_information"]
    began_ns, spent_ns = about["starting_time"]["nanoseconds_since_epoch"], about["duration"]["nanoseconds"]
    ended = {"began_ns": began_ns, "ended_ns": began_ns + spent_ns}
    replace(card, state="stopped", why=KILLED, **ended, **_judged(folder)).write(folder)


def _judged(folder: Path) -> dict[str, Any]:
    """What nobody could say while it was recorded."""
    from xlvla_data.recorder.aftermath import judged
    from xlvla_data.verdict import Finding

    own = Finding("yellow", KILLED)
    try:
        verdict, seconds = judged(Bag(folder))
    except XlvlaError:
        return {"verdict": own.colour, "findings": [f"{own.colour}: {own.line}, and its rig is not known here"]}
    verdict = verdict.beside([own])
    return {"verdict": verdict.colour, "findings": verdict.lines, "figures": dict(verdict.figures), "duration_s": round(seconds, 3)}
