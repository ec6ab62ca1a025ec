"""Who may move a rig, and when nobody may."""

from __future__ import annotations

import pytest

from xlvla.errors import XlvlaError
from xlvla_drivers.motion.authority import Authority, Level
from xlvla_drivers.motion.chunk import Refused


def test_hardware_is_engaged_only_when_every_device_has_said_it_is_well():
    authority = Authority(False, ["left arm", "left hand"])
    authority.on_status("left arm", Level.OK, "connected")
    with pytest.raises(XlvlaError, match="left hand: no status from its driver yet"):
        authority.engage(True)
    authority.on_status("left hand", Level.WARN, "hot")
    assert authority.engage(True) and authority.moves


def test_a_lost_device_disengages_and_its_return_does_not_engage():
    authority = Authority(True)
    assert authority.on_status("left arm", Level.ERROR, "unplugged")
    assert not authority.moves and "unplugged" in authority.state
    assert not authority.on_status("left arm", Level.ERROR, "still unplugged"), (
        "it was lost already"
    )
    with pytest.raises(XlvlaError, match="still unplugged"):
        authority.engage(True)
    authority.on_status("left arm", Level.OK, "connected")
    assert not authority.moves
    assert authority.engage(True) and authority.moves


def test_an_e_stop_ends_only_by_a_reset_and_then_needs_an_engagement():
    authority = Authority(True)
    authority.stop()
    with pytest.raises(XlvlaError, match="e-stop is latched"):
        authority.engage(True)
    authority.reset()
    assert not authority.moves
    assert authority.engage(True) and authority.moves


def test_the_first_source_drives_until_the_next_engagement():
    authority = Authority(True)
    authority.admit("policy")
    with pytest.raises(Refused, match="'teleop' does not drive, 'policy' does"):
        authority.admit("teleop")
    authority.engage(False)
    authority.engage(True)
    authority.admit("teleop")
    with pytest.raises(Refused):
        authority.admit("policy")


def test_the_operators_choice_takes_over_and_keeps_the_others_out():
    authority = Authority(True)
    authority.admit("policy")
    assert authority.choose("teleop"), "the policy must let go"
    with pytest.raises(Refused, match="'policy' does not drive"):
        authority.admit("policy")
    authority.admit("teleop")
    assert not authority.choose("teleop"), "who drives already need not let go"
    authority.choose("")
    authority.admit("teleop")
    with pytest.raises(Refused):
        authority.admit("policy")


def test_the_operator_takes_the_robot_from_the_policy_and_gives_it_back():
    authority = Authority(True)
    authority.admit("policy")
    assert authority.take_over(), "the policy must let go"
    assert not authority.take_over(), "it is taken already"
    assert authority.taken_over and authority.waits("policy")
    authority.admit("teleop")
    with pytest.raises(Refused, match="'policy' does not drive, 'teleop' does"):
        authority.admit("policy")
    assert authority.give_back()
    assert not authority.give_back(), "there is nothing left to give back"
    with pytest.raises(Refused, match="'teleop' does not drive, 'policy' does"):
        authority.admit("teleop")
    authority.admit("policy")


def test_a_policy_that_was_selected_by_name_is_taken_from_too_and_a_replay_is_not():
    authority = Authority(True)
    authority.choose("policy")
    assert authority.take_over()
    authority.admit("teleop")
    assert authority.give_back()
    authority.choose("replay")
    assert not authority.take_over()
    with pytest.raises(Refused):
        authority.admit("teleop")


@pytest.mark.parametrize(
    "ends", ["stopped and engaged anew", "disengaged and engaged anew", "another was chosen"]
)
def test_a_take_over_ends_with_an_engagement_and_with_the_choice_of_another(ends):
    authority = Authority(True)
    authority.admit("policy")
    authority.take_over()
    if ends == "another was chosen":
        assert authority.choose("policy")
    else:
        if ends.startswith("stopped"):
            authority.stop()
            authority.reset()
        else:
            authority.engage(False)
        assert authority.taken_over, "nothing gives it back before somebody says so"
        authority.engage(True)
    assert not authority.taken_over
    authority.admit("policy")


def test_who_may_not_move_takes_nothing():
    authority = Authority(True)
    authority.stop()
    assert not authority.take_over()
    authority.reset()
    assert not authority.take_over()
