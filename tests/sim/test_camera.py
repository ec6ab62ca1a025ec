import numpy as np
import pytest

from xlvla.errors import XlvlaError
from xlvla.rig import Camera
from xlvla_sim.scene import published_fovy_deg
from xlvla_sim.world import World


@pytest.fixture(scope="module")
def world(rig_with):
    world = World(rig_with("xhand"))
    yield world
    world.close()


def _red(image):
    """Pixels as red as a tomato label."""
    r, g, b = image.astype(int).transpose(2, 0, 1)
    return (r > 100) & (g < 0.45 * r) & (b < 0.45 * r)


def test_the_camera_publishes_the_size_of_the_rig(world):
    image = world.image("front")
    assert image.shape == (240, 320, 3) and image.dtype == np.uint8
    assert image.std() > 20


@pytest.mark.parametrize("seed", [1_000_000, 1_000_001, 1_000_002])
def test_both_cans_are_in_the_picture(world, seed):
    world.reset(seed)
    red = _red(world.image("front"))
    assert red[:, :160].sum() > 100 and red[:, 160:].sum() > 100


def test_a_can_appears_where_the_camera_model_says(world):
    world.reset(4)
    info = world.lens("front")
    camera = world.data.camera("front")
    for can in ("can_left", "can_right"):
        x, y, z = camera.xmat.reshape(3, 3).T @ (world.state.position(can) - camera.xpos)
        u = info.cx - info.fx * x / z
        v = info.cy + info.fy * y / z
        red = _red(world.image("front"))[:, int(u) - 20 : int(u) + 20]
        rows, columns = np.nonzero(red)
        assert abs(columns.mean() - 20) < 4 and abs(rows.mean() - v) < 8


def test_looks_vary_with_the_seed_and_only_with_it(world):
    pictures = []
    for seed in (1, 2, 1):
        world.reset(seed)
        pictures.append(world.image("front").astype(int))
    assert np.abs(pictures[0] - pictures[1]).mean() > 1
    assert np.array_equal(pictures[0], pictures[2])


def test_two_worlds_can_be_looked_at_in_one_process(world, rig_with):
    other = World(rig_with("inspire"))
    assert other.image("front").std() > 20
    other.close()
    assert world.image("front").std() > 20


def test_a_picture_for_people_has_the_size_asked_for(world):
    assert world.view(480, 360).shape == (360, 480, 3)


def test_an_unknown_camera_is_refused_and_named(world):
    with pytest.raises(XlvlaError, match=r"'frnt'.*did you mean 'front'"):
        world.image("frnt")


def test_cropping_the_sides_keeps_the_vertical_view_and_cropping_the_top_narrows_it():
    wide = Camera((1, 0, 1), (0, 0, 0), fovy_deg=44, capture=(960, 540), publish=(320, 240))
    flat = Camera((1, 0, 1), (0, 0, 0), fovy_deg=44, capture=(960, 540), publish=(320, 90))
    assert published_fovy_deg(wide) == pytest.approx(44)
    assert np.tan(np.radians(published_fovy_deg(flat) / 2)) == pytest.approx(
        0.5 * np.tan(np.radians(22))
    )
