"""Self-penetration: depths against an independent collision library, and what counts."""

import itertools

import coal
import numpy as np
import pinocchio
import pytest
import torch

from xlvla import catalog
from xlvla.hand import Hand
from xlvla.kinematics import Kinematics
from xlvla.shapes import Box, Capsule, shapes
from xlvla.types import SIDES
from xlvla_policy.latent.contact import TOLERANCE_M, SelfContact, ordinary
from xlvla_policy.latent.depth import boxes, capsule_box, capsules
from xlvla_policy.latent.embodiment import embodiment
from xlvla_policy.latent.sampling import uniform_poses

HAND_SIDES = list(itertools.product(catalog.hands(), SIDES))
COUNT = 300


def signed_distance(one, where_one, other, where_other) -> float:
    request = coal.DistanceRequest()
    result = coal.DistanceResult()
    request.enable_signed_distance = True
    return coal.distance(one, where_one, other, where_other, request, result)


def placed(rng, spread: float):
    """A rotation and place as coal and as numpy have them."""
    turn = pinocchio.exp3(rng.uniform(-3, 3, 3))
    return coal.Transform3s(turn, at := rng.uniform(-spread, spread, 3)), turn, at


def rod(rng):
    """A capsule as coal's, as its ends [2, 3] and radius."""
    where, turn, at = placed(rng, 0.03)
    radius = rng.uniform(0.005, 0.02)
    half = rng.choice([rng.uniform(0.001, 0.04), 1e-9])
    return (
        coal.Capsule(radius, 2 * half),
        where,
        np.array([at - half * turn[:, 2], at + half * turn[:, 2]]),
        radius,
    )


def block(rng):
    """A box as coal's, as its frame [4, 3] and half sizes."""
    where, turn, at = placed(rng, 0.03)
    half = rng.uniform(0.005, 0.03, 3)
    return coal.Box(*(2 * half)), where, np.array([at, *(at + turn.T)]), half


def both(makers):
    rng = np.random.default_rng(0)
    pairs = [[make(rng) for make in makers] for _ in range(COUNT)]
    theirs = np.array([-signed_distance(a[0], a[1], b[0], b[1]) for a, b in pairs])
    stacked = [
        [torch.tensor(np.array([pair[which][part] for pair in pairs])) for part in (2, 3)]
        for which in (0, 1)
    ]
    return theirs, stacked


def test_capsules_reach_as_deep_into_capsules_as_an_independent_library_says():
    theirs, ((a, r), (b, s)) = both((rod, rod))
    np.testing.assert_allclose(capsules(a[None], b[None], r + s)[0], theirs, atol=2e-6)


def test_capsules_reach_as_deep_into_boxes_as_an_independent_library_says():
    theirs, ((a, r), (b, half)) = both((rod, block))
    # Inside a box a golden section stops within a 2000th of the line.
    np.testing.assert_allclose(capsule_box(a[None], b[None], r, half)[0], theirs, atol=5e-5)


def test_boxes_reach_as_deep_into_boxes_as_an_independent_library_says():
    theirs, ((a, half_a), (b, half_b)) = both((block, block))
    ours = boxes(a[None], b[None], half_a, half_b)[0].numpy()
    meet = theirs > 0
    assert meet.mean() > 0.3
    np.testing.assert_allclose(ours[meet], theirs[meet], atol=1e-5)
    assert (ours[~meet] < 1e-6).all()


@pytest.mark.parametrize(("hand", "side"), HAND_SIDES)
def test_a_hand_that_opens_and_closes_in_an_ordinary_way_is_free_of_it(hand, side):
    entry = catalog.hand(hand)
    contact = SelfContact(entry, side)
    assert contact.share(ordinary(embodiment(entry, side))) == 0


def geometry(hand: Hand, side: str) -> tuple[Kinematics, list[tuple[str, object, np.ndarray]]]:
    """Every shape as coal's with its pose [4, 4] in its link."""
    solids = []
    for shape in shapes(hand.urdf_path(side)):
        pose = np.eye(4)
        points = np.array(shape.points)
        if isinstance(shape, Box):
            pose[:3, :3], pose[:3, 3] = (points[1:] - points[0]).T, points[0]
            solids.append((shape.link, coal.Box(*(2 * np.array(shape.half))), pose))
        else:
            along = points[1] - points[0]
            pose[:3, :3] = (
                pinocchio.Quaternion.FromTwoVectors(np.array([0.0, 0, 1]), along).matrix()
                if any(along)
                else np.eye(3)
            )
            pose[:3, 3] = points.mean(0)
            solids.append((shape.link, coal.Capsule(shape.radius, np.linalg.norm(along)), pose))
    return Kinematics(hand.urdf_model(side), hand.joint_names(side)), solids


@pytest.mark.parametrize(
    ("hand", "side"), [("inspire", "right"), ("paxini", "left"), ("allegro", "right")]
)
def test_whole_hands_agree_with_pinocchio_and_an_independent_library(hand, side):
    entry = catalog.hand(hand)
    contact = SelfContact(entry, side)
    kinematics, solids = geometry(entry, side)
    q = uniform_poses(embodiment(entry, side), 4, torch.Generator().manual_seed(5))
    ours = contact(q) + contact.allowed
    order = sorted(range(len(solids)), key=lambda i: isinstance(solids[i][1], coal.Box))
    for row, depths in zip(q.numpy(), ours, strict=True):
        at = kinematics.fk(row, [link for link, _, _ in solids])
        for (a, b), depth in zip(contact.pairs.tolist(), depths.tolist(), strict=True):
            (la, one, pa), (lb, other, pb) = solids[order[a]], solids[order[b]]
            poses = [coal.Transform3s(T[:3, :3], T[:3, 3]) for T in (at[la] @ pa, at[lb] @ pb)]
            theirs = -signed_distance(one, poses[0], other, poses[1])
            if theirs > 0:
                assert depth == pytest.approx(theirs, abs=1e-4)
            else:
                assert depth < 1e-4


@pytest.mark.parametrize(("hand", "side"), [("paxini", "left"), ("allegro", "right")])
def test_pairs_that_are_passed_over_do_not_meet(hand, side):
    entry = catalog.hand(hand)
    contact = SelfContact(entry, side)
    q = uniform_poses(embodiment(entry, side), 512, torch.Generator().manual_seed(8))
    deeper = contact(q).clamp(min=0)
    np.testing.assert_allclose(contact.penetration(q), deeper.sum(dim=1), atol=1e-6)
    assert torch.equal(contact.free(q), contact.deepest(q) < TOLERANCE_M)
    assert len(contact.solids.meeting(q, contact.pairs).depth) < 0.5 * deeper.numel()


def test_the_gradient_leads_out_of_the_penetration():
    entry = catalog.hand("paxini")
    contact = SelfContact(entry, "right")
    q = uniform_poses(
        embodiment(entry, "right"), 256, torch.Generator().manual_seed(6)
    ).requires_grad_()
    deep = contact(q).clamp(min=0).sum(-1)
    deep.sum().backward()
    assert q.grad is not None and q.grad.isfinite().all()
    touching = deep > TOLERANCE_M
    size = q.grad[touching].norm(dim=-1, keepdim=True)
    step = 0.001 * q.grad[touching] / size.clamp(min=1e-9)
    less = contact(q.detach()[touching] - step).clamp(min=0).sum(-1)
    assert (less < deep[touching]).float().mean() > 0.97


BARE = """<robot name="bare"><link name="palm"/><link name="a"/><link name="b"/><link name="tip"/>
  <joint name="a" type="revolute"><parent link="palm"/><child link="a"/><origin xyz="0 0 0.1"/><axis xyz="0 1 0"/>
    <limit lower="0" upper="1" velocity="1" effort="1"/></joint>
  <joint name="b" type="revolute"><parent link="a"/><child link="b"/><origin xyz="0 0 0.05"/><axis xyz="0 1 0"/>
    <limit lower="0" upper="1" velocity="1" effort="1"/></joint>
  <joint name="end" type="fixed"><parent link="b"/><child link="tip"/><origin xyz="0 0 0.03"/></joint></robot>"""


def test_links_without_shapes_count_as_their_bones(tmp_path):
    path = tmp_path / "bare.urdf"
    path.write_text(
        BARE.replace(
            '<link name="a"/>',
            '<link name="a"><visual><geometry><mesh '
            'filename="gone.stl"/></geometry></visual></link>',
        )
    )
    assert [(shape.link, shape.points[1]) for shape in shapes(path)] == [
        ("palm", (0, 0, 0.1)),
        ("a", (0, 0, 0.05)),
        ("b", (0, 0, 0.03)),
    ]


def test_a_cylinder_between_spheres_is_one_capsule_and_a_bare_one_the_capsule_inside(tmp_path):
    rod = '<collision><geometry><cylinder radius="0.01" length="0.06"/></geometry></collision>'
    caps = "".join(
        f'<collision><origin xyz="0 0 {z}"/><geometry><sphere '
        'radius="0.01"/></geometry></collision>'
        for z in (0.03, -0.03)
    )
    for solids, end in ((rod + caps, 0.03), (rod, 0.02)):
        path = tmp_path / f"{end}.urdf"
        path.write_text(BARE.replace('<link name="b"/>', f'<link name="b">{solids}</link>'))
        (found,) = [shape for shape in shapes(path) if shape.link == "b"]
        assert isinstance(found, Capsule)
        np.testing.assert_allclose(found.points, [(0, 0, -end), (0, 0, end)], atol=1e-12)
