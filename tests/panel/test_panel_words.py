"""What the page says of a rig, by what motion itself says of its states."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla_cli.panel.seen import Seen
from xlvla_cli.panel.words import CLOSE_CLUTCH, END_STOP, ENGAGE, START_POLICY, STOP_POLICY, words
from xlvla_drivers.motion.authority import Authority, Level

RIG = rig_file.load("bimanual")
NODES = ("sim", "joint_states", "motion", "policy")


def seen(state: str, source: str = "", **changes) -> Seen:
    """All nodes are there, and motion says this."""
    motion = {"plays": state == "engaged", "state": state, "source": source}
    everything = Seen(
        now_s=100.0,
        nodes=NODES,
        heard_s=dict.fromkeys(NODES, 99.5),
        motion=motion,
        measured_s=dict.fromkeys(RIG.parts, 99.99),
    )
    return replace(everything, **changes)


def engaged() -> Authority:
    return Authority(engaged=True)


def test_nothing_that_is_heard_is_no_robot_and_how_to_start_one():
    said = words(Seen(now_s=100.0, nodes=NODES), RIG)
    assert said.mood == "bad" and "xlvla run bimanual" in said.next


def test_a_rig_that_starts_names_what_it_waits_for():
    said = words(Seen(now_s=100.0, nodes=NODES, heard_s={"sim": 99.5}), RIG)
    assert said.state == "Starting: waiting for joint_states, motion, policy."


def test_a_motion_that_fell_silent_is_a_lost_robot():
    heard = dict.fromkeys(NODES, 99.5) | {"motion": 90.0}
    said = words(seen("engaged", heard_s=heard), RIG)
    assert said.mood == "bad" and "silent for 10 s" in said.state


def test_a_silent_node_and_stopped_joint_states_are_named():
    heard = dict.fromkeys(NODES, 99.5) | {"policy": 90.0}
    assert "policy" in words(seen("engaged", heard_s=heard), RIG).state
    measured = dict.fromkeys(RIG.parts, 99.99) | {("left", "hand"): 97.0}
    assert "left hand" in words(seen("engaged", measured_s=measured), RIG).state


def test_another_robot_on_the_domain_is_said():
    assert "another one" in words(seen("engaged", other_robot=True), RIG).state


def test_states_of_motion_lead_to_the_button_that_goes_on():
    authority = engaged()
    assert words(seen(authority.state), RIG).button == START_POLICY
    assert words(seen(authority.state, "policy"), RIG).button == STOP_POLICY
    authority.engage(False)
    assert words(seen(authority.state), RIG).button == ENGAGE
    authority.disengage("the left arm is not where it was commanded")
    said = words(seen(authority.state), RIG)
    assert said.button == ENGAGE and "the left arm is not" in said.state
    authority.stop()
    said = words(seen(authority.state), RIG)
    assert said.button == END_STOP and said.mood == "bad"
    authority.reset()
    authority.on_status("left hand", Level.ERROR, "does not answer")
    # Why it is held is more than that its joint states have stopped.
    measured = dict.fromkeys(RIG.parts, 99.99) | {("left", "hand"): 97.0}
    said = words(seen(authority.state, measured_s=measured), RIG)
    assert said.state == "Held: left hand does not answer." and said.mood == "bad"
    with pytest.raises(XlvlaError):
        authority.engage(True)


def test_a_policy_that_was_never_heard_is_not_to_be_started():
    without = {node: 99.5 for node in NODES if node != "policy"}
    said = words(seen(engaged().state, heard_s=without), RIG)
    assert said.button != START_POLICY and "no policy is heard" in said.state


def test_teleoperation_leads_to_the_clutch():
    rig = rig_file.load("teleop_keyboard")
    assert words(seen(engaged().state), rig).button == CLOSE_CLUTCH
    sides = {"left": {"tracked": True, "clutched": True, "strained": False, "why": ""}}
    said = words(seen(engaged().state, "teleop", teleop={"sides": sides}), rig)
    assert said.mood == "busy" and "Open the clutch" in said.next
