import numpy as np
import pytest
import torch

from xlvla import human
from xlvla.codec import Codec
from xlvla.human_codec import HumanCodec, features
from xlvla_policy.latent import human as training
from xlvla_policy.latent import human_poses


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A very short training on few people."""
    patch = pytest.MonkeyPatch()
    patch.setattr(training, "POOL", 256)
    made = training.HumanRun(steps=3)
    patch.undo()
    return made


def test_torch_and_numpy_pose_the_same_hand():
    angles = np.random.default_rng(0).uniform(human.LOWER, human.UPPER, (40, 20))
    there = human.posed(torch.from_numpy(angles), training.MIDDLE_SIZED, torch)
    assert np.allclose(there.numpy(), human.keypoints("right", angles), atol=1e-6)
    assert np.allclose(
        features(there, torch).numpy(), features(human.keypoints("right", angles), np), atol=1e-4
    )


def test_people_pinch_with_every_finger_and_their_joints_stay_in_range(run):
    crowd = run.people
    distance = human_poses.distances(run.points)
    for finger in range(1, 5):
        mine = distance[crowd.pinching == finger, finger - 1]
        assert len(mine) > 5 and (mine < 0.013).float().mean() > 0.15, finger
    assert (crowd.angles >= human_poses.LOWER).all() and (crowd.angles <= human_poses.UPPER).all()


def test_training_lowers_its_losses_and_leaves_robot_hands_alone(run, tmp_path):
    before = {name: value.clone() for name, value in run.coders.state_dict().items()}
    losses = list(run.run())
    assert len(losses) == 3 and all(torch.isfinite(each.total) for each in losses)
    assert all(torch.equal(value, before[name]) for name, value in run.coders.state_dict().items())


def test_what_is_written_is_read_as_it_was_trained(run, tmp_path):
    run.write(tmp_path / "human.safetensors")
    people = HumanCodec.load(Codec.load(), tmp_path / "human.safetensors")
    points = run.points[:8]
    seen = torch.from_numpy(human.normalised("right", points.double().numpy())).float()
    with torch.no_grad():
        for part in run.person.modules():
            if hasattr(part, "coarse"):
                part.coarse = False
        z = run.person.encode(seen)
    assert np.allclose(people.encode("right", points.numpy()), z.numpy(), atol=2e-2)


def test_fingers_that_touch_are_to_close_and_wide_ones_keep_their_distance():
    wide = torch.tensor([[[0.008, 0, 0], [0, 0.010, 0], [0, 0, 0.05], [0.1, 0, 0]]])
    close = training.closed(wide).norm(dim=-1)[0]
    assert close[0] < 2e-4 and close[1] < 2e-3 and close[2] > 0.049 and abs(close[3] - 0.1) < 1e-6
    lengths = training.closed(
        torch.linspace(0.001, 0.1, 200)[:, None, None] * torch.tensor([[1.0, 0, 0]])
    ).norm(dim=-1)
    assert (lengths.diff(dim=0) >= 0).all()
