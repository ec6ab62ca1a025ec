"""The graph as data."""

import importlib.util

import pytest

from xlvla import catalog, graph, rig
from xlvla.errors import XlvlaError


@pytest.mark.parametrize("name", catalog.rigs())
def test_every_node_of_every_rig_is_a_module_that_exists(name):
    for spec in graph.nodes(rig.load(name)):
        assert importlib.util.find_spec(spec.module) is not None, spec.module


def test_node_names_are_unique():
    labels = [spec.label for spec in graph.nodes(rig.load("bimanual"))]
    assert len(set(labels)) == len(labels)


def test_without_a_policy_the_body_and_the_world_remain():
    bimanual = rig.load("bimanual")
    names = {spec.name for spec in graph.nodes(bimanual)}
    without = {spec.name for spec in graph.nodes(bimanual.with_choices(policy="none"))}
    assert names - without == {"policy"} and {"sim", "joint_states", "motion"} <= without


def test_a_rig_on_hardware_names_the_drivers_that_are_missing():
    with pytest.raises(XlvlaError, match=r"no drivers for xarm7, xhand: use sim"):
        graph.nodes(rig.load("bimanual").with_choices(sim=False))
