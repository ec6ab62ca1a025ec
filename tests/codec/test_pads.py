"""Pads: their surfaces against an independent collision library, and where they face."""

from dataclasses import replace
from itertools import product

import coal
import numpy as np
import pinocchio
import pytest
import torch

from xlvla import catalog
from xlvla.kinematics import Kinematics
from xlvla.shapes import Capsule, shapes
from xlvla.solids import rigid_bodies
from xlvla_policy.latent.losses import OPPOSING, pinches
from xlvla_policy.latent.objective import Roles
from xlvla_policy.latent.pads import FAR_M, MEETING_M, TOUCH_M, Pads, touching
from xlvla_policy.latent.recipe import CONTACT, TIPS
from xlvla_policy.latent.sampling import uniform_poses
from xlvla_policy.latent.touch_losses import inconsistency, touch_loss, whitening
from xlvla_policy.latent.training import Trainer


def poses(pads: Pads, count: int) -> torch.Tensor:
    return uniform_poses(pads.body, count, torch.Generator().manual_seed(7))


def rods(hand, side: str, link: str) -> list[tuple[str, coal.Capsule, coal.Transform3s]]:
    """The capsules of the rigid body that a link belongs to, as an independent library's."""
    body = rigid_bodies(hand.description(side))
    found = []
    for shape in shapes(hand.urdf_path(side)):
        if body[shape.link] == body[link]:
            assert isinstance(shape, Capsule)
            start, end = np.array(shape.points)
            along = end - start
            turn = pinocchio.Quaternion.FromTwoVectors(np.array([0.0, 0, 1]), along).matrix()
            solid = coal.Capsule(shape.radius, float(np.linalg.norm(along)))
            found.append((shape.link, solid, coal.Transform3s(turn, (start + end) / 2)))
    return found


@pytest.mark.parametrize(("hand", "side"), [("xhand", "right"), ("inspire", "left")])
def test_gaps_are_those_that_an_independent_library_finds(hand, side):
    entry = catalog.hand(hand)
    pads = Pads(entry, side)
    kinematics = Kinematics(entry.urdf_model(side), entry.joint_names(side))
    q = poses(pads, 4)
    links = entry.tip_links(side)
    for row, gaps in zip(q.numpy(), pads(q).gap.numpy(), strict=True):
        for finger, gap in zip(OPPOSING, gaps, strict=True):
            nearest = []
            for one, other in product(
                rods(entry, side, links["thumb"]), rods(entry, side, links[finger])
            ):
                at = kinematics.fk(row, [one[0], other[0]])
                places = []
                for link, _, inside in (one, other):
                    pose = coal.Transform3s(at[link][:3, :3], at[link][:3, 3])
                    places.append(pose * inside)
                request = coal.DistanceRequest()
                request.enable_signed_distance = True
                result = coal.DistanceResult()
                nearest.append(
                    coal.distance(one[1], places[0], other[1], places[1], request, result)
                )
            assert gap == pytest.approx(min(nearest), abs=1e-5)


def test_a_pad_faces_where_its_tip_goes_when_the_last_joint_bends():
    pads = Pads(catalog.hand("xhand"), "right")
    q = poses(pads, 8)
    ends = pads.normals(q).unflatten(1, (-1, 2))
    normals = ends[:, :, 1] - ends[:, :, 0]
    for finger, joint in (("thumb", "thumb_rota_joint2"), ("index", "index_joint2")):
        index = [name.endswith(joint) for name in catalog.hand("xhand").joints].index(True)
        bent = q.clone()
        bent[:, index] += 1e-3
        column = pads.body.fingers.index(finger)
        way = (pads.body.tips(bent) - pads.body.tips(q))[:, column]
        way = way / way.norm(dim=-1, keepdim=True)
        np.testing.assert_allclose((way * normals[:, column]).sum(-1), 1, atol=1e-2)


def test_mirrored_hands_have_mirrored_pads_and_a_lacking_finger_is_far():
    right = Pads(catalog.hand("xhand"), "right")
    left = Pads(catalog.hand("xhand"), "left")
    q = poses(right, 16)
    np.testing.assert_allclose(right(q).gap, left(q).gap, atol=2e-3)
    np.testing.assert_allclose(right(q).facing, left(q).facing, atol=2e-2)
    four_fingers = Pads(catalog.hand("paxini"), "right")
    lacking = four_fingers(poses(four_fingers, 4))
    assert (lacking.gap[:, OPPOSING.index("little")] == FAR_M).all()


@pytest.mark.parametrize("hand", ["inspire", pytest.param("paxini", marks=pytest.mark.long)])
def test_touching_poses_touch_with_the_tips_together(hand):
    pads = Pads(catalog.hand(hand), "right")
    q, finger = touching(pads, 48, torch.Generator().manual_seed(0))
    assert len(q) > 12
    gap = pads(q).gap.gather(1, finger[:, None])
    assert gap.abs().max() < TOUCH_M
    assert (q >= pads.body.lower).all() and (q <= pads.body.upper).all()
    apart = pinches(pads.body.tips(q), pads.body.fingers).norm(dim=-1).gather(1, finger[:, None])
    assert apart.mean() < 3 * MEETING_M


def test_the_gradient_of_a_gap_closes_it():
    pads = Pads(catalog.hand("paxini"), "right")
    q = poses(pads, 64).requires_grad_()
    gap = pads(q).gap[:, 0]
    gap.sum().backward()
    assert q.grad is not None and q.grad.isfinite().all()
    step = 0.002 * q.grad / q.grad.norm(dim=-1, keepdim=True)
    nearer = pads(q.detach() - step).gap[:, 0]
    assert (nearer < gap).float().mean() > 0.95


def test_only_pads_that_are_near_touching_cost_and_only_beyond_the_slack():
    pads = Pads(catalog.hand("xhand"), "right")
    source = pads(poses(pads, 4))
    mask = torch.ones(4, 4)

    def cost(source_gap: float, target_gap: float) -> float:
        wanted = type(source)(torch.full((4, 4), source_gap), source.facing)
        found = type(source)(torch.full((4, 4), target_gap), source.facing)
        return touch_loss(wanted, found, mask, CONTACT).item()

    assert cost(0.0, 0.5 * CONTACT.touch_slack) == 0
    assert cost(0.0, 0.01) > 0
    assert cost(0.0, -0.01) == pytest.approx(cost(0.0, 0.01))
    assert cost(0.0, 0.01) > 100 * cost(0.05, 0.06)


def test_inconsistency_is_a_matter_of_the_spread():
    z = torch.randn(256, 32, generator=torch.Generator().manual_seed(0))
    off = torch.randn(256, 32, generator=torch.Generator().manual_seed(1))

    def cost(again, z):
        return inconsistency(again, z, whitening(z)).mean().item()

    assert cost(z, z) == 0
    assert cost(z + 0.1 * off, z) == pytest.approx(0.01, rel=0.3)
    assert cost(7 * (z + 0.1 * off) + 3, 7 * z + 3) == pytest.approx(cost(z + 0.1 * off, z))


@pytest.mark.parametrize("stretch", ["one direction", "a tenth of the latents"])
def test_what_is_stretched_does_not_make_the_rest_look_consistent(stretch):
    z = torch.randn(256, 32, generator=torch.Generator().manual_seed(0))
    off = 0.1 * torch.randn(256, 32, generator=torch.Generator().manual_seed(1))
    stretched = z.clone()
    if stretch == "one direction":
        stretched[:, 0] *= 10
    else:
        stretched[:25] *= 10
    plain = inconsistency(z + off, z, whitening(z)).mean().item()
    cost = inconsistency(stretched + off, stretched, whitening(stretched)).mean().item()
    over_the_sum = plain * z.square().sum().item() / stretched.square().sum().item()
    assert cost > 0.5 * plain > 2 * over_the_sum


def test_a_few_poses_far_out_do_not_make_the_others_look_consistent():
    """Poses that are no uniform ones take no part in the spread."""
    few = {"batch": 64, "pool": 1024, "templates": 32, "clear": 0.0, "patience": 0}
    recipe = replace(TIPS, mixture=(0.5, 0.5, 0.0, 0.0), consistent=10.0, **few)
    trainer = Trainer(recipe, ("ability", "inspire"))
    roles = Roles(trainer.bodies, trainer.bodies)
    body = trainer.bodies[0]
    poses = trainer.samplers[body.name]()
    far = poses.clone()
    far[32:] = body.upper
    generator = torch.Generator().manual_seed(0)
    near_source = trainer.objective.source(body, poses, roles, generator, 0)
    far_source = trainer.objective.source(body, far, roles, generator, 0)
    torch.testing.assert_close(near_source.whitening, far_source.whitening)
