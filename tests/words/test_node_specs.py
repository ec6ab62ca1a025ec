"""The graph as data."""

import dataclasses
import importlib.util
import re

import pytest

from xlvla import catalog, graph, rig_file
from xlvla.errors import RigError, XlvlaError


@pytest.mark.parametrize("name", catalog.rigs())
def test_every_node_of_every_rig_is_a_module_that_exists(name):
    for spec in graph.nodes(rig_file.load(name)):
        assert importlib.util.find_spec(spec.module) is not None, spec.module


def test_node_names_are_unique():
    names = [spec.full_name for spec in graph.nodes(rig_file.load("bimanual"))]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("namespace", ["lab/left", "/lab/left"])
def test_nodes_stand_in_the_namespace_of_their_rig(namespace):
    rig = rig_file.with_choices(rig_file.load("bimanual"), namespace=namespace)
    assert "/lab/left/motion" in [spec.full_name for spec in graph.nodes(rig)]


@pytest.mark.parametrize("namespace", ["/", "lab/", "2nd", "a b", "~lab", "a__b", "a" * 200, "läb"])
def test_what_is_no_namespace_of_ros_is_one_line(namespace):
    with pytest.raises(RigError) as error:
        rig_file.with_choices(rig_file.load("bimanual"), namespace=namespace)
    (line,) = error.value.faults
    assert line.startswith("bimanual: namespace: '") and "is none of ROS" in line


def test_nodes_of_a_simulated_rig_are_told_that_their_time_is():
    simulated = graph.nodes(rig_file.load("bimanual"))
    emulated = graph.nodes(rig_file.load("bimanual_emulated"))
    assert {spec.params("rig")["use_sim_time"] for spec in simulated} == {True}
    assert {spec.params("rig")["use_sim_time"] for spec in emulated} == {False}


def test_without_a_policy_the_body_and_the_world_remain():
    bimanual = rig_file.load("bimanual")
    names = {spec.name for spec in graph.nodes(bimanual)}
    without = {spec.name for spec in graph.nodes(rig_file.with_choices(bimanual, policy="none"))}
    assert names - without == {"policy"} and {"sim", "joint_states", "motion"} <= without


def test_hardware_without_an_address_is_one_line_that_names_every_part():
    with pytest.raises(RigError) as error:
        rig_file.with_choices(rig_file.load("bimanual"), sim=False)
    (line,) = error.value.faults
    assert re.search(
        r"camera front, left arm, left hand, right arm, right hand; add `device: \{address: "
        r"\.\.\.\}`",
        line,
    )


def with_device(**device):
    """The document of a rig whose left hand is a device."""
    document = dataclasses.asdict(rig_file.load("bimanual"))
    document["sides"]["left"]["hand"] = {
        "type": "inspire",
        "device": {"address": "/dev/ttyUSB0", **device},
    }
    return document


@pytest.mark.parametrize(
    ("device", "line"),
    [
        ({"driver": "insipre"}, "unknown driver 'insipre'"),
        ({"address": ""}, "'address' is missing"),
        ({"rate_hz": 0}, "must be from 1 to 1000"),
        ({"calibration": {"index_joint": {}}}, "did you mean 'index_proximal_joint'"),
        ({"calibration": {"index_proximal_joint": {"sign": 2.0}}}, "sign: must be 1 or -1"),
        (
            {"calibration": {"index_proximal_joint": {"scale": 0.0}}},
            "scale: must be from 0.01 to 100",
        ),
        ({"adress": "x"}, "did you mean 'address'"),
    ],
)
def test_what_is_wrong_with_a_device_is_one_line(device, line):
    with pytest.raises(RigError) as error:
        rig_file.from_document(with_device(**device), "test")
    assert [fault for fault in error.value.faults if line in fault]


def test_another_hand_on_the_same_port_keeps_nothing_that_was_the_old_ones_alone():
    sound = with_device(driver="inspire", options={"hand_id": 2}, rate_hz=50.0)
    document = {**sound, "sides": {**sound["sides"]}}
    changed = rig_file.with_choices(
        rig_file.from_document(document, "test"), hands={"left": "ability"}
    ).device("left", "hand")
    assert changed is not None
    assert (changed.driver, changed.address, changed.rate_hz, dict(changed.options)) == (
        "ability",
        "/dev/ttyUSB0",
        50.0,
        {},
    )


def test_a_machine_starts_the_nodes_it_is_told_to():
    bimanual = rig_file.load("bimanual")
    assert [spec.name for spec in graph.chosen(bimanual, only=["policy"])] == ["policy"]
    assert [spec.name for spec in graph.chosen(bimanual, without=["policy"])] == [
        "sim",
        "joint_states",
        "motion",
    ]
    assert graph.chosen(bimanual) == graph.nodes(bimanual)
    with pytest.raises(XlvlaError, match=r"unknown node 'polcy'.*did you mean 'policy'"):
        graph.chosen(bimanual, without=["polcy"])
    with pytest.raises(XlvlaError, match="no node of rig 'bimanual' is left"):
        graph.chosen(bimanual, only=["policy"], without=["policy"])
