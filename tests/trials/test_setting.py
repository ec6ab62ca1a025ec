"""The places of a task's things are drawn over the pictures in which a person sets the scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mujoco")

from xlvla import rig_file
from xlvla_sim.setting import Setting
from xlvla_sim.world import World, load_task

SEED = 1_000_003


@pytest.fixture(scope="module")
def rig():
    rig = rig_file.load("bimanual")
    assert rig.sim is not None
    return replace(rig, sim=replace(rig.sim, task="sort_cans"))


def test_things_are_where_the_simulation_puts_them_for_the_same_seed(rig):
    world = World(rig, render=False)
    world.reset(SEED)
    setting = Setting(rig, load_task("sort_cans"), SEED, simulated=True)
    assert [place.name for place in setting.places] == ["container", "tomato can", "cheese can"]
    for place in setting.places:
        body = place.name.replace(" ", "_")
        np.testing.assert_allclose(place.xyz, world.state.position(body), atol=1e-9)
        assert place.yaw == pytest.approx(world.state.yaw(body), abs=1e-9)


def test_outlines_lie_on_the_things_that_a_camera_of_the_simulation_shows(rig):
    world = World(rig)
    world.reset(SEED)
    picture = world.image("front").astype(int)
    gone = World(rig)
    gone.reset(SEED)
    for thing in ("container", "tomato_can", "cheese_can"):
        gone.state.place(thing, np.array([5.0, 5.0, -3.0]))
    import mujoco

    mujoco.mj_forward(gone.model, gone.data)
    things = np.abs(picture - gone.image("front")).sum(axis=2) > 60
    world.close()
    gone.close()
    setting = Setting(rig, load_task("sort_cans"), SEED, simulated=True)
    black = np.zeros(picture.shape, np.uint8)
    drawn = setting.over({"front": black})
    times = drawn.shape[0] // picture.shape[0]
    filled = drawn[::times, ::times].sum(axis=2) > 0
    both = (things & filled).sum()
    assert both / things.sum() > 0.85
    # Besides the things only their names are drawn.
    assert setting.unseen() == []


def test_another_scene_has_other_outlines_and_the_cameras_of_a_real_rig_stand_still(rig):
    task = load_task("sort_cans")
    black = {"front": np.zeros((240, 320, 3), np.uint8)}
    real = [Setting(rig, task, seed, simulated=False) for seed in (SEED, SEED, SEED + 1)]
    first, same, other = (setting.over(black) for setting in real)
    assert (first == same).all()
    assert (first != other).any()
    varied = Setting(rig, task, SEED, simulated=True).over(black)
    assert (first != varied).any()


def test_a_thing_that_no_camera_sees_is_named(rig):
    away = replace(rig.cameras["front"], target=(2.0, 0.0, 2.0))
    blind = replace(rig, cameras={"front": away})
    setting = Setting(blind, load_task("sort_cans"), SEED, simulated=False)
    assert setting.unseen() == ["container", "tomato can", "cheese can"]
    grey = setting.over({})
    assert grey.shape[2] == 3 and (grey == 96).all()
