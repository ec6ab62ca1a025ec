"""The state of a rig and the one thing to do next, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xlvla.rig import Rig
from xlvla_cli.panel.seen import LATE_S, Seen

Mood = str
"""good, busy, warning or bad."""


@dataclass(frozen=True)
class Words:
    """What the operator reads first.

    Attributes:
        state: how the rig is.
        next: the one thing to do.
        mood: good (all is well), busy (it moves), warning (somebody must act), bad (stopped or
            lost).
        button: the one that does it; '' where none does.
    """

    state: str
    next: str
    mood: Mood
    button: str = ""


ENGAGE = "Engage"
END_STOP = "End the e-stop"
START_POLICY = "Start the policy"
STOP_POLICY = "Stop the policy"
CLOSE_CLUTCH = "Close the clutch"
OPEN_CLUTCH = "Open the clutch"
"""Buttons that words point to."""


def words(seen: Seen, rig: Rig) -> Words:
    """The state of a rig; what is worst is said first."""
    if not seen.there("motion"):
        return _without_motion(seen, rig)
    if seen.other_robot:
        return Words(
            "The robot on this ROS domain is another one than the rig this panel was opened for.",
            "Open the panel with the rig that runs: xlvla panel RIG.",
            "bad",
        )
    state = seen.motion.get("state", "")
    if state.startswith("e-stop"):
        return Words(
            "E-STOP: every device brakes and holds.",
            "See why it was stopped. Then end the e-stop.",
            "bad",
            END_STOP,
        )
    if silent := _silent(seen):
        return Words(
            f"No sign of life from {', '.join(silent)}.",
            "Look at the terminal of the rig. If the robot moves, stop it.",
            "bad",
        )
    if state.startswith("held"):
        return Words(
            f"{_sentence(state)}.",
            "See to the device, recover it under Devices, then engage.",
            "bad",
        )
    if late := _late(seen):
        return Words(
            f"No joint states of {', '.join(late)}.",
            "See to the device under Devices; recover it there.",
            "bad",
        )
    if state.startswith("disengaged"):
        return Words(f"{_sentence(state)}: the robot holds still.", "Engage.", "warning", ENGAGE)
    if state == "going home":
        return Words("Going home.", "Wait until it is there.", "busy")
    return _engaged(seen, rig)


def _without_motion(seen: Seen, rig: Rig) -> Words:
    silent_s = seen.silent_s("motion")
    if math.isfinite(silent_s):
        return Words(
            f"The robot is lost: motion has been silent for {silent_s:.0f} s.",
            "Look at the robot and at the terminal of the rig. Drivers brake without commands.",
            "bad",
        )
    waiting = [node for node in seen.nodes if not seen.there(node)]
    if len(waiting) < len(seen.nodes):
        return Words(f"Starting: waiting for {', '.join(waiting)}.", "Wait.", "warning")
    return Words(
        "No robot: nothing is heard on this ROS domain.", f"Start it: xlvla run {rig.name}", "bad"
    )


def _engaged(seen: Seen, rig: Rig) -> Words:
    source = seen.motion.get("source", "")
    if source == "policy":
        told = seen.figures.get("policy", {}).get("", "")
        return Words(
            f"The policy drives. {_sentence(told)}",
            "Watch it. Stop the policy, or stop everything with the space key.",
            "busy",
            STOP_POLICY,
        )
    if source == "teleop":
        following = any(side["clutched"] for side in seen.teleop.get("sides", {}).values())
        if seen.motion.get("taken_over"):
            return Words(
                "The operator took over from the policy.",
                "Open the clutch to give the robot back."
                if following
                else "Close the clutch to go on; opened again, it gives the robot back.",
                "busy",
                OPEN_CLUTCH if following else CLOSE_CLUTCH,
            )
        return Words(
            "The operator drives by teleoperation.",
            "Open the clutch to leave the robot there."
            if following
            else "Close the clutch to go on.",
            "busy",
            OPEN_CLUTCH if following else CLOSE_CLUTCH,
        )
    if source:
        return Words(f"'{source}' drives.", "Watch it.", "busy")
    state = "Ready: engaged, and nobody drives."
    if rig.policy and not seen.there("policy"):
        return Words(
            "Engaged, and no policy is heard.",
            f"Is the rig run without it? `xlvla run {rig.name}` brings it.",
            "warning",
        )
    if rig.policy:
        return Words(state, "Start the policy.", "good", START_POLICY)
    if rig.teleop:
        return Words(state, "Close the clutch.", "good", CLOSE_CLUTCH)
    return Words(state, "Send it chunks: this rig has no policy and no teleoperation.", "good")


def _silent(seen: Seen) -> list[str]:
    """Nodes that were there and are not any more."""
    return [node for node in seen.nodes if node in seen.heard_s and not seen.there(node)]


def _late(seen: Seen) -> list[str]:
    """Parts whose joint states have stopped."""
    return [
        f"{side} {part}"
        for (side, part), came_s in seen.measured_s.items()
        if seen.now_s - came_s > LATE_S
    ]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
