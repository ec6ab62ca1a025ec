"""Rigs: strict reading, every fault at once, and round trips."""

import copy
import dataclasses
import random

import pytest
import yaml

from xlvla import catalog, rig_file
from xlvla.errors import RigError, XlvlaError
from xlvla.rig_parts import PolicyConfig

BIMANUAL = yaml.safe_load(catalog.rigs()["bimanual"].read_text())


def faults(document):
    with pytest.raises(RigError) as caught:
        rig_file.from_document(document, "test")
    return caught.value.faults


def changed(path, value):
    """The bimanual rig with one entry replaced; `path` in dots."""
    document = copy.deepcopy(BIMANUAL)
    *way, last = path.split(".")
    section = document
    for key in way:
        section = section.setdefault(key, {})
    section[last] = value
    return document


def paths(value, way=()):
    """Every path of a nested mapping, inner ones too."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield ".".join((*way, key))
            yield from paths(entry, (*way, key))


@pytest.mark.parametrize("name", catalog.rigs())
def test_every_rig_of_the_catalogue_loads(name):
    assert rig_file.load(name).name == name


@pytest.mark.parametrize("left", catalog.hands())
@pytest.mark.parametrize("right", catalog.hands())
def test_every_pair_of_hands_survives_saving_and_loading(left, right, tmp_path):
    chosen = rig_file.with_choices(
        rig_file.load("bimanual"),
        hands={"left": left, "right": right},
        instruction="put: it # there",
        speed=0.0,
        seed=7,
    )
    assert rig_file.load(chosen.save(tmp_path / "saved.yaml")) == chosen


def test_choices_change_what_they_name_and_nothing_else():
    plain = rig_file.load("bimanual")
    chosen = rig_file.with_choices(plain, hands={"left": "inspire", "right": None}, policy="none")
    assert (chosen.sides["left"].hand.type, chosen.sides["right"]) == (
        "inspire",
        plain.sides["right"],
    )
    assert chosen.policy is None
    assert dataclasses.replace(chosen, sides=plain.sides, policy=plain.policy) == plain


def test_a_policy_can_be_chosen_for_a_rig_that_has_none():
    without = rig_file.with_choices(rig_file.load("bimanual"), policy="none")
    assert without.policy is None
    chosen = rig_file.with_choices(without, policy="xlvla", instruction="Wait.")
    assert chosen.policy == PolicyConfig(type="xlvla", instruction="Wait.")
    with pytest.raises(XlvlaError, match="instruction chosen, but this rig has nothing"):
        rig_file.with_choices(without, instruction="Wait.")


def test_no_policy_is_one_word_in_a_file_and_on_the_command_line():
    in_file = rig_file.from_document({**BIMANUAL, "policy": "none"}, "test")
    assert in_file == rig_file.with_choices(rig_file.load("bimanual"), policy="none")


def test_choices_are_checked_like_the_file():
    with pytest.raises(XlvlaError, match=r"unknown hand 'inspir'.*did you mean 'inspire'"):
        rig_file.with_choices(rig_file.load("bimanual"), hands={"left": "inspir"})


def test_every_fault_is_reported_at_once_whatever_its_kind():
    document = changed("sides.left.hand.type", "xhnad")
    document |= {"camera": {}, "motion": {"rate_hz": -1, "stale_s": True}}
    document["sides"]["right"]["arm"]["home"] = {"joint9": 0.0, "joint2": 9.0}
    text = "\n".join(faults(document))
    for fault in (
        "unknown key 'camera'",
        "did you mean 'cameras'?",
        "sides.left.hand.type: unknown hand 'xhnad'",
        "motion.rate_hz: must be from 20 to 1000, is -1.0",
        "motion.stale_s: expected a number, got bool 'True'",
        "sides.right.arm.home: unknown joint 'joint9'",
        "joint2 = 9.0 rad is outside the URDF's",
    ):
        assert fault in text
    assert len(text.splitlines()) == 6


def test_a_misspelt_key_is_a_fault_wherever_it_stands():
    for path in paths(BIMANUAL):
        if ".home." in f".{path}." or path in ("sides.left", "sides.right", "cameras.front"):
            continue
        document = changed(path, None)
        *way, last = path.split(".")
        section = document
        for key in way:
            section = section[key]
        section[f"{last}x"] = section.pop(last)
        assert any(f"unknown key '{last}x'" in fault for fault in faults(document)), path


def test_a_value_of_the_wrong_kind_is_a_fault_that_names_its_place():
    wrong = object()
    for path in paths(BIMANUAL):
        if path in ("policy", "sim"):
            continue
        assert any(path in fault for fault in faults(changed(path, wrong))), path


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "fast", [1.0], True])
def test_a_number_must_be_a_finite_number(value):
    assert faults(changed("motion.stale_s", value))[0].startswith("test: motion.stale_s: ")


def test_random_damage_never_ends_in_anything_but_faults():
    rng = random.Random(4)
    everywhere = list(paths(BIMANUAL))
    for _ in range(300):
        document = copy.deepcopy(BIMANUAL)
        for path in rng.sample(everywhere, 3):
            *way, last = path.split(".")
            section = document
            for key in way:
                section = section.get(key) if isinstance(section, dict) else None
            if isinstance(section, dict):
                section[last] = rng.choice(
                    [
                        None,
                        {},
                        [],
                        "x",
                        -1,
                        1e9,
                        float("nan"),
                        {"a": 1},
                        [1, 2],
                        ["x"] * 3,
                        3.5,
                        False,
                    ]
                )
        try:
            rig_file.from_document(document, "test")
        except RigError as error:
            assert all(fault.startswith("test: ") and "\n" not in fault for fault in error.faults)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[", "is not valid YAML"),
        ("", "expected a mapping with name, sides"),
        ("just words", "expected a mapping with name, sides"),
    ],
)
def test_a_file_that_is_no_rig_gets_one_line(text, line, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(XlvlaError, match=line) as caught:
        rig_file.load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_an_unknown_name_are_told_apart(tmp_path):
    with pytest.raises(XlvlaError, match="no rig file at"):
        rig_file.load(tmp_path / "none.yaml")
    with pytest.raises(XlvlaError, match=r"unknown rig 'bimanul'.*did you mean 'bimanual'"):
        rig_file.load("bimanul")


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (
            {"address": "/dev/video0", "driver": "realsens"},
            "cameras.front.device: unknown driver 'realsens'",
        ),
        ({"driver": "video"}, "cameras.front.device: 'address' is missing"),
        (
            {"address": "/dev/video0", "rate_hz": 0},
            "cameras.front.device.rate_hz: must be from 1 to 1000",
        ),
    ],
)
def test_a_camera_that_cannot_be_found_is_a_fault(device, expected):
    document = changed("cameras.front", {**BIMANUAL["cameras"]["front"], "device": device})
    assert any(expected in fault for fault in faults(document))


def test_a_cameras_usual_driver_is_spelled_out():
    document = changed(
        "cameras.front", {**BIMANUAL["cameras"]["front"], "device": {"address": "/dev/video0"}}
    )
    device = rig_file.from_document(document, "test").camera_device("front")
    assert device is not None and device.driver == "v4l2"


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("motion.speed_scale", 50, "motion.speed_scale: must be from 0.01 to 1, is 50.0"),
        ("motion.teleport_rad", 1e9, "motion.teleport_rad: must be from 0.01 to 1"),
        ("motion.guard_hz", 1e-6, "motion.guard_hz: must be from 5 to 1000"),
        ("motion.horizon_s", 1e6, "motion.horizon_s: must be from 0.1 to 30"),
        (
            "motion.touch",
            {"stop_m": -0.5, "slow_m": 0.0},
            "motion.touch.stop_m: must be from -0.02",
        ),
        ("sim.speed", -1, "sim.speed: must be from 0 to 100"),
        ("sim.seed", -3, "sim.seed: must be from 0 to 4294967295"),
        ("policy.replan_s", 0, "policy.replan_s: must be from 0.02 to 60"),
        ("sides.left.arm.xyz", [0, 400, 0], "sides.left.arm.xyz[1]: must be from -10 to 10"),
        (
            "cameras.front.capture",
            [10**9, 540],
            "cameras.front.capture[0]: must be from 16 to 7680",
        ),
        ("cameras.front.jpeg", 0, "cameras.front.jpeg: must be from 1 to 100"),
        ("cameras.front.target", [1.08, 0.0, 0.66], "xyz and target are one place"),
        ("teleop", {"source": "keyboard", "scale": 3}, "teleop.scale: must be from 0.05 to 1"),
        ("recorder", {"confirm_s": 0}, "recorder.confirm_s: must be from 0.1 to 60"),
    ],
)
def test_what_is_not_safe_or_cannot_run_is_a_fault(path, value, line):
    assert any(line in fault for fault in faults(changed(path, value)))


@pytest.mark.parametrize("name", ["my cam", "a/b", "2nd", "a__b", "_a", "ünder", "x" * 80, "a-b"])
def test_a_camera_that_no_topic_can_be_named_after_is_a_fault(name):
    document = copy.deepcopy(BIMANUAL)
    document["cameras"] = {name: BIMANUAL["cameras"]["front"]}
    assert any("cannot be part of a topic's name" in fault for fault in faults(document))


@pytest.mark.parametrize("name", ["lab/left", "../x y", "/etc/rig", "", "a\\nb"])
def test_a_rig_that_no_file_can_be_named_after_is_a_fault(name):
    assert any("the rig is called" in fault for fault in faults({**BIMANUAL, "name": name}))


SHARED = {
    "one arm for two": (
        ("xarm7", {"address": "192.168.1.2"}),
        ("xarm7", {"address": "192.168.1.2:502"}),
        ("xhand", {"address": "/dev/ttyUSB0"}),
        ("xhand", {"address": "/dev/ttyUSB1"}),
        "sides.left.arm and sides.right.arm have one address, 192.168.1.2:502",
    ),
    "one arm by its name and its number": (
        ("xarm7", {"address": "LocalHost:1502"}),
        ("xarm7", {"address": "127.0.0.1:1502"}),
        ("xhand", {"address": "/dev/ttyUSB0"}),
        ("xhand", {"address": "/dev/ttyUSB1"}),
        "sides.left.arm and sides.right.arm have one address, 127.0.0.1:1502",
    ),
    "one port for two hands": (
        ("xarm7", {"address": "192.168.1.2"}),
        ("xarm7", {"address": "192.168.1.3"}),
        ("xhand", {"address": "/dev/ttyUSB0"}),
        ("ability", {"address": "/dev/../dev/ttyUSB0"}),
        "sides.left.hand and sides.right.hand have one address, /dev/ttyUSB0",
    ),
    "one bus of two hands, not two": (
        ("xarm7", {"address": "192.168.1.2"}),
        ("xarm7", {"address": "192.168.1.3"}),
        ("inspire", {"address": "10.0.0.1", "options": {"transport": "tcp", "model": "ftp"}}),
        (
            "inspire",
            {"address": "10.0.0.1", "options": {"transport": "tcp", "model": "ftp", "hand_id": 2}},
        ),
        None,
    ),
    "both arms of one humanoid": (
        ("g1", {"address": "eth0"}),
        ("g1", {"address": "eth0"}),
        ("xhand", {"address": "/dev/ttyUSB0"}),
        ("xhand", {"address": "/dev/ttyUSB1"}),
        None,
    ),
}


@pytest.mark.parametrize("case", SHARED)
def test_one_address_for_two_devices_is_a_fault(case):
    pytest.importorskip("pymodbus")
    from xlvla_drivers import registry

    left_arm, right_arm, left_hand, right_hand, line = SHARED[case]
    document = copy.deepcopy(BIMANUAL)
    document |= {"sim": None, "policy": None, "cameras": {}}
    parts = {"left": (left_arm, left_hand), "right": (right_arm, right_hand)}
    for side, (arm, hand) in parts.items():
        document["sides"][side] = {
            "arm": {
                "type": arm[0],
                "device": arm[1],
                "xyz": [0, 0.4 if side == "left" else -0.4, 0],
            },
            "hand": {"type": hand[0], "device": hand[1]},
        }
    found = registry.faults(rig_file.from_document(document, "test"))
    assert found == ([] if line is None else [f"{line}: every device needs its own"])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: a\nname: b\n", "key 'name' stands here a second time"),
        ("name: a\nmotion: {rate_hz: 100, rate_hz: 200}\n", "key 'rate_hz' stands here a second"),
        ("name: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("name: a\nmotion: {rate_hz: 0x_}\n", "is not valid YAML"),
        ("name: a\nlike: bimanual\nmotion: {rate_hz: 2020-01-01}\n", "expected a number, got str"),
        (f"name: a\nlike: bimanual\nmotion: {{rate_hz: 0x{'f' * 5000}}}\n", "must be finite"),
        (f"name: a\nlike: bimanual\nsim: {{seed: 0x{'f' * 5000}}}\n", "sim.seed: must be from 0"),
        ("name: a\nlike: [bimanual]\n", "the name or path of one rig is needed"),
        ("name: &a {a: *a}\n", "more than 200,000 values"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{n}: &{n} [{','.join([f'*{b}'] * 9)}]\n"
                for b, n in zip("abcdefg", "bcdefgh", strict=True)
            ),
            "more than 200,000 values",
        ),
    ],
)
def test_yaml_that_nobody_means_is_one_line(text, line, tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(XlvlaError, match=line) as caught:
        rig_file.load(path)
    assert len(str(caught.value)) < 5000


def device_faults(left_arm, right_arm, left_hand, right_hand):
    """What drivers do not understand of a rig with these devices, each as its type, its address and
    its options.
    """
    pytest.importorskip("pymodbus")
    from xlvla_drivers import registry

    document = {**copy.deepcopy(BIMANUAL), "sim": None, "policy": None, "cameras": {}}
    for side, parts in {"left": (left_arm, left_hand), "right": (right_arm, right_hand)}.items():
        for part, (kind, address, options) in zip(("arm", "hand"), parts, strict=True):
            device = {"address": address, "options": options}
            document["sides"][side][part] |= {"type": kind, "device": device}
        # Home is of the arm that was there
        document["sides"][side]["arm"].pop("home", None)
    return registry.faults(rig_file.from_document(document, "test"))


TCP = {"transport": "tcp", "model": "ftp"}
ADDRESSES = {
    ("arm", "xarm7", "/dev/ttyUSB0"): "no address of an xArm",
    ("arm", "xarm7", "192.168.1.2:99999"): "no address of an xArm",
    ("arm", "xarm7", "192.168.1.2 "): "begins or ends with a blank",
    ("arm", "xarm7", "http://192.168.1.2"): "no address of an xArm",
    ("arm", "xarm7", "192.168.001.010"): "no address of an xArm",
    ("arm", "xarm7", "192.168.1"): "no address of an xArm",
    ("hand", "inspire", "10.0.0.01", "tcp"): "inspire: transport tcp needs an address",
    ("arm", "g1", "192.168.123.164"): "no address of a G1",
    ("hand", "xhand", "192.168.1.6"): "no serial port: give its path, such as /dev/ttyUSB0",
    ("hand", "ability", "COM3"): "no serial port: give its path, such as /dev/ttyUSB0",
    ("hand", "inspire", "ttyUSB0"): "no serial port: give its path, such as /dev/ttyUSB0",
    ("hand", "inspire", "/dev/ttyUSB0", "tcp"): "inspire: transport tcp needs an address",
}


@pytest.mark.parametrize("case", ADDRESSES, ids=lambda case: " ".join(case[1:]))
def test_an_address_that_can_be_none_of_its_device_is_a_fault_that_names_its_place(case):
    part, kind, address, *tcp = case
    given = {
        "arm": ("xarm7", "192.168.1.7", {}),
        "hand": ("xhand", "/dev/ttyUSB7", {}),
        part: (kind, address, TCP if tcp else {}),
    }
    right = ("xarm7", "192.168.1.8", {}), ("xhand", "/dev/ttyUSB8", {})
    (fault,) = device_faults(given["arm"], right[0], given["hand"], right[1])
    assert fault.startswith(f"sides.left.{part}.device.address: ") and ADDRESSES[case] in fault


def test_swapped_addresses_of_arms_and_hands_are_all_told_at_once():
    swapped = device_faults(
        ("xarm7", "/dev/ttyUSB0", {}),
        ("xarm7", "/dev/ttyUSB1", {}),
        ("xhand", "192.168.1.2", {}),
        ("xhand", "192.168.1.3", {}),
    )
    assert len(swapped) == 4
