"""Keys of pedals and gamepads as Linux tells them: pressed, held, lost, unplugged."""

from __future__ import annotations

import copy
import sys

import pytest
import yaml

evdev = pytest.importorskip("evdev", reason="pip install evdev-binary")

import pressed

from xlvla import catalog, rig_file
from xlvla.errors import RigError
from xlvla_drivers import registry
from xlvla_drivers.buttons import foot_pedal, gamepad
from xlvla_drivers.buttons.key_device import KeyDevice, Press
from xlvla_drivers.device import LinkLost

DOES = {"KEY_A": "record", "KEY_B": "hold", "KEY_C": "estop", "KEY_D": "hold"}


@pytest.fixture(autouse=True)
def pipes(tmp_path, monkeypatch):
    """Where there is no uinput, evdev finds pipes."""
    monkeypatch.setattr(evdev, "InputDevice", evdev.InputDevice)
    monkeypatch.setattr(evdev, "list_devices", evdev.list_devices)
    if not pressed.UINPUT:
        pressed.read_pipes(str(tmp_path))


@pytest.fixture
def keys(tmp_path):
    made = pressed.Keys(tmp_path, [*DOES, "KEY_E"])
    yield made
    made.close()


@pytest.fixture
def device(keys):
    """What reads the keys, open."""
    opened = KeyDevice(foot_pedal.KEYS, keys.path, DOES, exclusive=True)
    opened.open()
    yield opened
    opened.close()


def read(device):
    """Everything that waits."""
    presses = []
    while more := device.read(0.2):
        presses += more
    return presses


def test_a_key_is_pressed_once_however_long_it_repeats_and_others_do_nothing(keys, device):
    keys.press("KEY_A")
    keys.repeat("KEY_A")
    keys.press("KEY_E")
    keys.release("KEY_A")
    assert read(device) == [Press("record", True), Press("record", False)]


def test_the_e_stop_counts_while_other_keys_are_held(keys, device):
    keys.press("KEY_A", "KEY_B", "KEY_D")
    read(device)
    keys.press("KEY_C")
    assert read(device) == [Press("estop", True)]


def test_an_action_is_let_go_with_the_last_key_that_holds_it(keys, device):
    keys.press("KEY_B")
    keys.press("KEY_D")
    keys.release("KEY_B")
    assert Press("hold", False) not in read(device)
    keys.release("KEY_D")
    assert read(device) == [Press("hold", False)]


def test_what_is_down_when_it_is_plugged_in_was_not_pressed_but_the_e_stop_stops(keys):
    keys.press("KEY_A")
    device = KeyDevice(foot_pedal.KEYS, keys.path, DOES, exclusive=False)
    assert device.open() == []
    device.close()
    keys.press("KEY_C")
    assert device.open() == [Press("estop", True)]
    device.close()


def test_what_is_unplugged_is_one_line_and_lets_go_of_every_key(keys, device):
    keys.press("KEY_A", "KEY_B")
    read(device)
    keys.unplug()
    with pytest.raises(LinkLost, match=r"a pedal at .* is unplugged"):
        read(device)
    assert set(device.release()) == {Press("record", False), Press("hold", False)}
    device.close()
    with pytest.raises(LinkLost, match="there is no PCsensor foot pedal at"):
        device.open()
    keys.plug()
    assert device.open() == []
    keys.press("KEY_A")
    assert read(device) == [Press("record", True)]


def test_what_changed_while_the_kernel_lost_events_is_asked_for(keys, device):
    keys.press("KEY_B")
    read(device)
    keys.lose(pressed=["KEY_C"], released=["KEY_B"], other="KEY_E")
    assert set(read(device)) == {Press("hold", False), Press("estop", True)}
    keys.press("KEY_A")
    assert read(device) == [Press("record", True)]


def test_what_one_program_reads_alone_another_is_refused(keys, device):
    other = KeyDevice(foot_pedal.KEYS, keys.path, DOES, exclusive=True)
    with pytest.raises(LinkLost, match="is used by another program"):
        other.open()
    other.close()


def test_a_type_is_found_by_its_id_and_keys(tmp_path):
    if pressed.UINPUT:
        pytest.skip("the machine's own devices might be found")
    pad = pressed.Piped(tmp_path, gamepad.KEYS.keys, "a pad", 0x045E, 0x028E)
    lookalike = pressed.Piped(tmp_path, [*foot_pedal.KEYS.keys], "a keyboard", 1, 2)
    usual = gamepad.KEYS.keys
    found = KeyDevice(gamepad.KEYS, "", usual, exclusive=True)
    found.open()
    assert found.line == f"a pad at {pad.path}"
    found.close()
    pedal = KeyDevice(foot_pedal.KEYS, "", foot_pedal.KEYS.keys, exclusive=True)
    with pytest.raises(LinkLost, match=r"no PCsensor foot pedal is plugged in: .*group `input`"):
        pedal.open()
    with pytest.raises(LinkLost, match=r"a keyboard at .* has no key BTN_"):
        KeyDevice(gamepad.KEYS, lookalike.path, usual, exclusive=True).open()
    for made in (pad, lookalike):
        made.close()


@pytest.mark.parametrize("name", catalog.buttons())
def test_every_usual_key_is_one_of_the_kernels(name):
    rig = copy.deepcopy(yaml.safe_load(catalog.rigs()["teleop_keyboard"].read_text()))
    kind = {"type": name, "address": "/dev/input/event0"}
    usual = registry.key_set(name).keys
    rig["buttons"] = {"mine": {**kind, "keys": dict(usual) or {"KEY_KP0": "estop"}}}
    assert not registry.faults(rig_file.from_document(full(rig), "test"))


def full(document):
    """A document of the catalogue with what it is like."""
    base = rig_file.load("teleop_keyboard").document()
    return {**base, "buttons": document["buttons"]}


def faults(like, **buttons):
    document = {**rig_file.load(like).document(), "buttons": buttons}
    try:
        return registry.faults(rig_file.from_document(document, "test"))
    except RigError as error:
        return error.faults


@pytest.mark.parametrize(
    ("like", "pedal", "line"),
    [
        ("teleop_keyboard", {"type": "foot_pedl"}, "did you mean 'foot_pedal'"),
        ("bimanual", {"type": "foot_pedal", "keys": {"KEY_A": "record"}}, "add `recorder: {}`"),
        ("bimanual", {"type": "gamepad", "keys": {"BTN_TR": "hold"}}, "add `teleop: {source"),
        ("bimanual", {"type": "gamepad", "keys": {"BTN_TR": "stopp"}}, "did you mean 'stop'"),
        (
            "bimanual",
            {"type": "gamepad", "keys": {"BTN_SOUHT": "estop"}},
            "did you mean 'BTN_SOUTH'",
        ),
        ("bimanual", {"type": "keypad", "keys": {"KEY_KP0": "estop"}}, "every keyboard could be"),
        ("bimanual", {"type": "keypad", "address": "/dev/input/event9"}, "say what a key does"),
    ],
)
def test_what_is_wrong_with_buttons_is_one_line(like, pedal, line):
    found = faults(like, mine=pedal)
    assert len(found) == 1 and line in found[0]


def test_two_entries_of_one_device_and_a_name_that_no_topic_bears_are_refused():
    pedal = {"type": "foot_pedal", "address": "/dev/input/event9"}
    (line,) = faults("bimanual", one=pedal, two=pedal)
    assert "buttons.one and buttons.two have one address" in line
    (line,) = faults("bimanual", **{"my pedal": pedal})
    assert "cannot be part of a topic's name" in line


def test_without_evdev_a_check_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "evdev", None)
    (line,) = faults("bimanual", mine={"type": "gamepad"})
    assert line == "buttons.mine: 'evdev' is not installed: pip install evdev"


def test_of_the_usual_keys_those_that_a_rig_cannot_serve_do_nothing():
    rig = rig_file.load("bimanual").document() | {"buttons": {"pad": {"type": "gamepad"}}}
    made = rig_file.from_document(rig, "test")
    assert registry.pressed_keys(made, "pad") == {"BTN_EAST": "estop"}
