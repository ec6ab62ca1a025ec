"""Forward kinematics of fingertips against pinocchio, against finite differences, and on odd
joints.
"""

import itertools

import numpy as np
import pinocchio
import pytest
import torch

from xlvla import catalog, urdf
from xlvla.errors import XlvlaError
from xlvla.kinematics import Kinematics
from xlvla_policy.latent.embodiment import mirrored
from xlvla_policy.latent.kinematics import Fingertips

HAND_SIDES = list(itertools.product(catalog.hands(), ("right", "left")))

ODD = """<robot name="odd">
  <link name="base"/><link name="a"/><link name="b"/><link name="c"/><link name="d"/><link name="tip"/>
  <joint name="turn" type="continuous"><origin xyz="0.1 0 0.02" rpy="0.3 -0.2 0.5"/><axis xyz="0 0 2"/>
    <parent link="base"/><child link="a"/></joint>
  <joint name="weld" type="fixed"><origin xyz="0.01 0.02 0.03" rpy="-0.4 0.1 0.2"/><parent link="a"/><child link="b"/></joint>
  <joint name="slide" type="prismatic"><origin xyz="0 0.03 0" rpy="0.1 0.9 0"/><axis xyz="0 1 1"/><parent link="b"/><child link="c"/>
    <limit lower="-0.1" upper="0.1" velocity="1" effort="1"/><mimic joint="turn" multiplier="-0.05" offset="0.01"/></joint>
  <joint name="bend" type="revolute"><origin xyz="0.02 0 0.04" rpy="0 0 -0.7"/><axis xyz="1 0 0"/><parent link="c"/><child link="d"/>
    <limit lower="-2" upper="2" velocity="1" effort="1"/><mimic joint="slide" multiplier="10" offset="0.2"/></joint>
  <joint name="end" type="fixed"><origin xyz="0 0 0.05" rpy="0.2 0.3 0.4"/><parent link="d"/><child link="tip"/></joint>
</robot>"""


def tips_of(hand: str, side: str) -> tuple[Fingertips, torch.Tensor]:
    """Unmirrored kinematics in double precision, and random poses [32, J]."""
    entry = catalog.hand(hand)
    limits = entry.limits(side)
    tips = Fingertips(
        entry.description(side),
        entry.joint_names(side),
        tuple(entry.tip_links(side).values()),
        dtype=torch.float64,
    )
    return tips, torch.tensor(
        np.random.default_rng(0).uniform(limits.lower, limits.upper, (32, len(limits.lower)))
    )


def with_pinocchio(
    path: str, text: bool, description: urdf.Description, names, links, q
) -> np.ndarray:
    """Link positions [B, F, 3] m."""
    model = pinocchio.buildModelFromXML(path) if text else pinocchio.buildModelFromUrdf(path)
    data = model.createData()

    def angle(joint: urdf.Joint, row) -> float:
        if joint.mimic is None:
            return row[names.index(joint.name)]
        return (
            joint.mimic.multiplier * angle(description.joint(joint.mimic.joint), row)
            + joint.mimic.offset
        )

    found = []
    for row in q:
        configuration = pinocchio.neutral(model)
        for joint in (j for j in description.joints if j.moves):
            where = model.joints[model.getJointId(joint.name)]
            value = angle(joint, row)
            configuration[where.idx_q : where.idx_q + where.nq] = (
                value if where.nq == 1 else (np.cos(value), np.sin(value))
            )
        pinocchio.framesForwardKinematics(model, data, configuration)
        found.append([data.oMf[model.getFrameId(link)].translation.copy() for link in links])
    return np.array(found)


@pytest.mark.parametrize(("hand", "side"), HAND_SIDES)
def test_fingertips_are_where_pinocchio_puts_them(hand, side):
    entry = catalog.hand(hand)
    tips, q = tips_of(hand, side)
    links = list(entry.tip_links(side).values())
    theirs = with_pinocchio(
        str(entry.urdf_path(side)),
        False,
        entry.description(side),
        entry.joint_names(side),
        links,
        q.numpy(),
    )
    np.testing.assert_allclose(tips(q).numpy(), theirs, atol=1e-12)


@pytest.mark.parametrize(("hand", "side"), HAND_SIDES)
def test_gradients_agree_with_finite_differences(hand, side):
    tips, q = tips_of(hand, side)
    assert torch.autograd.gradcheck(tips, (q[:3].requires_grad_(),), eps=1e-6, atol=1e-7)


def test_sliding_continuous_and_chained_mimic_joints_agree_with_pinocchio():
    description = urdf.parse(ODD).description
    q = torch.linspace(-3, 3, 13, dtype=torch.float64)[:, None]
    ours = Fingertips(description, ("turn",), ("tip",), dtype=torch.float64)(q).numpy()
    np.testing.assert_allclose(
        ours, with_pinocchio(ODD, True, description, ["turn"], ["tip"], q.numpy()), atol=1e-12
    )


def random_tree(seed: int) -> str:
    """A URDF with branches, every kind of joint, limits nowhere needed, and chains of mimics."""
    rng = np.random.default_rng(seed)
    text = '<link name="l0"/>'
    types = ("revolute", "continuous", "prismatic", "fixed", "revolute")
    movers: list[str] = []
    for number in range(1, 16):
        kind = "revolute" if number == 1 else types[rng.integers(len(types))]
        xyz, rpy, axis = (
            " ".join(f"{value:.6f}" for value in rng.uniform(-scale, scale, 3))
            for scale in (0.1, 3, 1)
        )
        mimic = ""
        if kind != "fixed" and movers and rng.random() < 0.5:
            mimic = (
                f'<mimic joint="{rng.choice(movers)}" multiplier="{rng.uniform(-1.5, 1.5):.4f}" '
                f'offset="{rng.uniform(-1, 1):.4f}"/>'
            )
        movers += [f"j{number}"] * (kind != "fixed")
        text += f"""<link name="l{number}"/><joint name="j{number}" type="{kind}"><parent link="l{max(0, number - rng.integers(1, 4))}"/>
          <child link="l{number}"/><origin xyz="{xyz}" rpy="{rpy}"/><axis xyz="{axis}"/>{mimic}
          <limit lower="-9" upper="9" velocity="1" effort="1"/></joint>"""
    return f'<robot name="tree">{text}</robot>'


@pytest.mark.parametrize("seed", range(8))
def test_points_of_random_trees_are_where_pinocchio_puts_them_and_move_as_their_gradient_says(seed):
    xml = random_tree(seed)
    description = urdf.parse(xml).description
    names = tuple(joint.name for joint in description.free_joints)
    rng = np.random.default_rng(100 + seed)
    q = torch.tensor(rng.uniform(-2, 2, (5, len(names))))
    ours = Fingertips(description, names, description.links, dtype=torch.float64)
    np.testing.assert_allclose(
        ours(q).numpy(),
        with_pinocchio(xml, True, description, names, description.links, q.numpy()),
        atol=1e-11,
    )
    tips = Fingertips(
        description,
        names,
        ("l13", "l15"),
        dtype=torch.float64,
        points=rng.uniform(-0.1, 0.1, (2, 3)).tolist(),
    )
    assert torch.autograd.gradcheck(tips, (q[:2].requires_grad_(),), eps=1e-6, atol=1e-7)


def test_a_point_of_a_link_moves_with_the_links_frame():
    xml = ODD.replace(
        'type="continuous">',
        'type="revolute"><limit lower="-9" upper="9" velocity="1" effort="1"/>',
    )
    description = urdf.parse(xml).description
    kinematics = Kinematics(urdf.parse(xml), ("turn",))
    point = np.array([0.01, -0.02, 0.03])
    q = torch.tensor([[0.7], [-1.2]], dtype=torch.float64)
    ours = Fingertips(
        description, ("turn",), ("d", "base"), dtype=torch.float64, points=[point, point]
    )(q).numpy()
    for row, found in zip(q.numpy(), ours, strict=True):
        T = kinematics.fk(row, ["d"])["d"]
        np.testing.assert_allclose(found, [T[:3, :3] @ point + T[:3, 3], point], atol=1e-12)


@pytest.mark.parametrize(
    "device",
    [
        "meta",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
        ),
    ],
)
def test_every_table_follows_the_module_to_another_device(device):
    entry = catalog.hand("paxini")
    tips = Fingertips(
        entry.description("right"),
        entry.joint_names("right"),
        tuple(entry.tip_links("right").values()),
    ).to(device)
    found = tips(torch.zeros(7, len(entry.joints), device=device))
    assert found.device.type == device
    assert found.shape == (7, len(entry.tips), 3)


def test_a_tip_that_does_not_exist_and_a_joint_nobody_commands_are_named():
    description = urdf.parse(ODD).description
    with pytest.raises(XlvlaError, match="link 'nail' is not in odd"):
        Fingertips(description, ("turn",), ("nail",))
    with pytest.raises(
        XlvlaError, match="joint 'turn' of odd moves a fingertip but is not commanded"
    ):
        Fingertips(description, ("bend",), ("tip",))


def test_left_hands_that_mirror_the_right_are_found_by_measuring():
    assert {name: mirrored(hand) for name, hand in catalog.hands().items()} == {
        "ability": True,
        "allegro": True,
        "inspire": False,
        "paxini": False,
        "xhand": True,
    }
