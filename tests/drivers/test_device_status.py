"""What is said of a device whose commands are refused."""

from xlvla.guard import Refused
from xlvla_drivers.device_status import Refusals


def test_a_stranger_is_named_as_soon_as_its_name_is_known():
    refusals = Refusals()
    refusals.add(Refused("session", "second writer: a node whose name is not known yet"))
    refusals.add(Refused("session", "second writer: /stranger"))
    assert refusals.line.endswith("/stranger")


def test_the_same_refusal_again_keeps_its_first_words():
    refusals = Refusals()
    for age in ("0.6", "0.7"):
        refusals.add(Refused("stale", f"its stamp is {age} s old"))
    assert "0.6" in refusals.line
