"""What the default recipe adds to the paper's: losses, precision and optimiser."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from xlvla_policy.latent.contact import TOLERANCE_M
from xlvla_policy.latent.losses import pinch_weight, retargeting, roughness
from xlvla_policy.latent.model import Mlp
from xlvla_policy.latent.objective import Decoded, Roles
from xlvla_policy.latent.optimiser import Optimiser, orthogonal
from xlvla_policy.latent.precision import coarse_dtype
from xlvla_policy.latent.recipe import PAPER, TIPS
from xlvla_policy.latent.sampling import uniform_poses
from xlvla_policy.latent.training import Trainer


def line(*lengths: float) -> torch.Tensor:
    """One pose's pinches [1, 4, 3] of these lengths [m] along x; zeros where there is none."""
    return torch.tensor([[(length, 0.0, 0.0) for length in lengths]])


def test_the_finger_that_pinches_outweighs_the_others():
    distance = torch.tensor([[0.01, 0.04, 0.06, 0.0]])
    wide, tight = pinch_weight(distance, TIPS, torch.tensor([[False, False, False, True]]))
    assert tight[0, 0] > 100 * tight[0, 1]
    assert tight[0, 3] == 0
    assert wide[0, 0] > wide[0, 1] > wide[0, 2]


def test_an_error_out_of_reach_pulls_no_harder_than_one_within():
    source = line(0.1, 0.1, 0.1, 0.1)
    mask = torch.ones(1, 4)

    def pull(recipe, error):
        target = (source + line(error, 0, 0, 0)).requires_grad_()
        retargeting(source, target, mask, recipe).backward()
        assert target.grad is not None
        return target.grad[0, 0, 0].item()

    assert pull(TIPS, 0.04) == pytest.approx(pull(TIPS, 0.02), rel=0.05)
    assert pull(PAPER, 0.04) == pytest.approx(2 * pull(PAPER, 0.02), rel=0.05)


def test_fingers_that_should_meet_are_pulled_harder_the_further_they_are_apart():
    source = line(0.004, 0.15, 0.15, 0.15)
    mask = torch.ones(1, 4)

    def pull(recipe, error):
        target = (source + line(error, 0, 0, 0)).requires_grad_()
        retargeting(source, target, mask, recipe).backward()
        assert target.grad is not None
        return target.grad[0, 0, 0].item()

    assert pull(TIPS, 0.02) > 1.2 * pull(TIPS, 0.01)
    assert pull(replace(TIPS, strict=1.0), 0.02) == pytest.approx(
        pull(replace(TIPS, strict=1.0), 0.01), rel=0.1
    )


def test_tips_on_a_parabola_are_smooth_and_a_jump_is_not():
    part = torch.arange(4.0)[:, None, None, None]
    smooth = (0.01 * part.square()).expand(4, 3, 5, 3).reshape(12, 5, 3)
    assert roughness(smooth, 1).item() == pytest.approx(0, abs=2e-4)
    assert roughness((0.01 * (part > 1)).expand(4, 3, 5, 3).reshape(12, 5, 3), 1).item() > 0.01
    assert roughness(smooth[:0], 0).item() == 0


def test_coarse_networks_differ_by_rounding_only():
    torch.manual_seed(0)
    network = Mlp((6, 128, 128, 6), TIPS)
    x = torch.rand(32, 6)
    exact = network(x)
    network.coarse = True
    rounded = network(x)
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() < 0.02
    # A processor without instructions for bfloat16 stays exact, which is faster there.
    assert torch.equal(rounded, exact) == (coarse_dtype() == torch.float32)


@pytest.mark.parametrize("shape", [(64, 128), (128, 64), (96, 96)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    values = torch.linalg.svdvals(
        orthogonal(torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)))
    )
    # The quintic trades exactness for speed: values end between about 0.5 and 1.3, tiny ones lower.
    assert values.max() < 1.4
    assert values.median() > 0.6


def test_an_optimiser_goes_on_where_its_state_was_taken():
    torch.manual_seed(0)
    network = Mlp((6, 64, 64, 6), TIPS)
    x = torch.rand(64, 6)
    y = torch.rand(64, 6)

    def advance(optimiser, steps):
        for _ in range(steps):
            optimiser.zero_grad()
            (network(x) - y).square().mean().backward()
            optimiser.step()

    first = Optimiser(network.parameters(), 1e-2, orthogonal=True)
    before = (network(x) - y).square().mean().item()
    advance(first, 20)
    assert (network(x) - y).square().mean().item() < 0.5 * before
    weights = {k: v.clone() for k, v in network.state_dict().items()}
    copied = deepcopy(first.state_dict())
    advance(first, 3)
    straight = {k: v.clone() for k, v in network.state_dict().items()}
    network.load_state_dict(weights)
    second = Optimiser(network.parameters(), 1e-2, orthogonal=True)
    second.load_state_dict(copied)
    advance(second, 3)
    assert all(torch.equal(value, straight[name]) for name, value in network.state_dict().items())


def test_a_colliding_pose_costs_its_depth_unless_its_source_collides_too():
    recipe = replace(TIPS, pool=2048, templates=32, patience=0, looks=512, stride=1)
    trainer = Trainer(recipe, ("ability", "xhand"))
    contacts = trainer.objective.contacts
    q, there = (
        uniform_poses(body, 512, torch.Generator().manual_seed(0)) for body in trainer.bodies
    )
    exact = Roles(trainer.bodies, trainer.bodies)
    source = trainer.objective.source(trainer.bodies[0], q, exact, torch.Generator(), 0)
    deep = contacts["xhand"](there).clamp(min=0).sum(dim=1)
    free = contacts["ability"].deepest(q) < TOLERANCE_M
    cost = trainer.objective.collision(trainer.bodies[1], [Decoded(source, there, there)])
    assert cost.item() == pytest.approx((free * deep).mean().item(), rel=1e-4)
    assert 0 < cost < deep.mean()
