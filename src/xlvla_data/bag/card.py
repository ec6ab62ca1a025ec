"""What an episode is, beside its bag: `episode.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from xlvla import files
from xlvla.errors import XlvlaError
from xlvla.strict import build
from xlvla.text import plain
from xlvla.types import PARTS, Part, Side

CARD = "episode.json"

State = Literal["recording", "stopped", "discarded"]
Colour = Literal["green", "yellow", "red"]


@dataclass(frozen=True)
class EpisodeCard:
    """One recorded episode.

    Args:
        name: of its folder.
        state: 'recording' while it is written, and until the repair where its recorder was killed.
        task: name of the simulated task; '' where none is known.
        instruction: the task instruction.
        hands: by side.
        joints: names by side and part, in the order of the catalogue; none of a part that the side
            does not have.
        rates_hz: rates that the rig specifies, by topic.
        rig: the rig's document.
        rig_hash: its short SHA-256.
        codec: hash of the codec whose latents are in the bag.
        simulated: stamps are simulated time, log times are not.
        seed: of the simulated episode.
        success: None where it was not marked.
        verdict: 'green', 'yellow' or 'red'; '' before it was judged.
        findings: the verdict's issues, a line each.
        figures: what was measured, by stream.
        began_ns, ended_ns: log times; 0 while it is recorded.
        duration_s: by the stamps.
        why: what ended it.
        version: of xlvla, that recorded it.
    """

    name: str
    state: State
    task: str
    instruction: str
    hands: Mapping[Side, str]
    joints: Mapping[Side, Mapping[Part, list[Any]]]
    rates_hz: Mapping[str, float]
    rig: Mapping[str, Any]
    rig_hash: str
    codec: str
    simulated: bool
    seed: int | None = None
    success: bool | None = None
    verdict: str = ""
    findings: list[Any] = field(default_factory=list[Any])
    figures: Mapping[str, Any] = field(default_factory=dict[str, Any])
    began_ns: int = 0
    ended_ns: int = 0
    duration_s: float = 0.0
    why: str = ""
    version: str = ""

    def write(self, folder: Path) -> None:
        files.write_text(folder / CARD, json.dumps(asdict(self), indent=1) + "\n")


def read_episode_card(folder: Path) -> EpisodeCard:
    """The card of an episode; XlvlaError where there is none or it is damaged."""
    path = folder / CARD
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        raise XlvlaError(f"{folder} is no recorded episode: it has no {CARD}") from None
    # No JSON, or no text
    except (ValueError, RecursionError) as error:
        raise XlvlaError(f"{path} is not valid JSON: {plain(error, 120)}") from None
    except OSError as error:
        raise XlvlaError(f"{path} cannot be read: {error.strerror or error}") from None
    if not isinstance(document, dict):
        raise XlvlaError(f"{path} holds no episode: expected a mapping, got {plain(document, 40)}")
    # Fields of later versions are ignored
    known = set(EpisodeCard.__dataclass_fields__)
    fields = {key: value for key, value in document.items() if key in known}
    card, faults = build(EpisodeCard, fields, "episode")
    if card is None or faults:
        raise XlvlaError(f"{path}: {'; '.join(faults)}")
    _check_joints(card, path)
    return card


def _check_joints(card: EpisodeCard, path: Path) -> None:
    """Raises XlvlaError where a joint has no name, or a part is missing."""
    names: list[Any] = []
    missing: list[str] = []
    for side, parts in card.joints.items():
        for joints in parts.values():
            names += joints
        missing += [f"{side} {part}" for part in PARTS if part not in parts]
    if not all(isinstance(name, str) for name in names):
        raise XlvlaError(
            f"{path}: joints have names, and not all of these are: {plain(names, 120)}"
        )
    if missing:
        raise XlvlaError(f"{path}: joints of {', '.join(missing)} are missing")
