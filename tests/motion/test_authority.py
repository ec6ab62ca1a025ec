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
