"""Descriptions of hands as makers write them: a forearm and a wrist, meshes in a package, the palm
turned, zero limits, other names on each side.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

PACKAGE = "maker_description"
TURNED = (0.4, -1.1, 2.0)
"""Roll, pitch, yaw [rad] of the flange's frame in the maker's palm: it lies as it likes."""
FINGERS = {"index": 0.03, "middle": 0.0, "ring": -0.03}
"""Fingers by their place [m] across the palm, towards the thumb."""
LENGTHS = (0.045, 0.035)
"""Of the links of a finger [m]."""
RADIUS = 0.009
PALM = (0.03, 0.09, 0.09)
"""Thickness, width and length [m]."""


@dataclass(frozen=True)
class Words:
    """How a maker writes a side: a word before every name, and what a finger is called."""

    prefix: str
    turned_thumb: bool = False
    """Whether the thumb's first joint turns the other way, with the limits to match."""
    longer_m: float = 0.0
    """By how much the index finger is longer than the other side's."""
    reversed_order: bool = False


RIGHT = Words("R_")
LEFT = Words("lh_", turned_thumb=True, reversed_order=True)


def write_meshes(folder: Path) -> None:
    """A palm as STL, a finger's links as OBJ and in millimetres as DAE."""
    import trimesh

    meshes = folder / PACKAGE / "meshes"
    meshes.mkdir(parents=True, exist_ok=True)
    palm = trimesh.creation.box(PALM)
    palm.apply_translation((0, 0, PALM[2] / 2))
    palm.export(meshes / "palm.stl")
    for name, length in zip(("proximal.obj", "distal.dae"), LENGTHS, strict=True):
        link = trimesh.creation.icosphere(subdivisions=2, radius=RADIUS)
        points = np.array(link.vertices)
        points[:, 2] += np.where(points[:, 2] > 0, length, 0)
        if name.endswith(".dae"):
            _write_dae(meshes / name, 1000 * points, np.array(link.faces))
        else:
            trimesh.Trimesh(points, link.faces, process=False).export(meshes / name)


def _write_dae(file: Path, points: np.ndarray, faces: np.ndarray) -> None:
    """A mesh whose file says that it is in millimetres."""
    import collada

    document = collada.Collada()
    document.assetInfo.unitname = "millimeter"
    document.assetInfo.unitmeter = 0.001
    corners = collada.source.FloatSource("corners", points.ravel(), ("X", "Y", "Z"))
    geometry = collada.geometry.Geometry(document, "link", "link", [corners])
    inputs = collada.source.InputList()
    inputs.addInput(0, "VERTEX", "#corners")
    geometry.primitives.append(geometry.createTriangleSet(faces.ravel(), inputs, "none"))
    document.geometries.append(geometry)
    node = collada.scene.Node("link", children=[collada.scene.GeometryNode(geometry, [])])
    scene = collada.scene.Scene("scene", [node])
    document.scenes.append(scene)
    document.scene = scene
    document.write(str(file))


def urdf(words: Words, side: str) -> str:
    """The URDF of a side; a left hand is the mirror image of a right one."""
    mirror = 1 if side == "right" else -1
    p = words.prefix
    roll, pitch, yaw = TURNED
    # Seen in a mirror, a turn goes the other way about x and z.
    turned = f"{mirror * roll} {pitch} {mirror * yaw}"
    links = [
        f'<link name="{p}forearm"><visual><geometry><box size="0.06 0.06 0.2"/></geometry></visual></link>',
        f'<link name="{p}palm">{_mesh("palm.stl", turned)}</link>',
        f'<link name="{p}knuckles"/>',
    ]
    joints = [
        _joint(f"{p}wrist_flex", f"{p}forearm", f"{p}palm", "0 0 0.15", "0 1 0", -0.5, 0.5),
        f'<joint name="{p}knuckles_fixed" type="fixed"><parent link="{p}palm"/><child link="{p}knuckles"/><origin rpy="{turned}"/></joint>',
    ]
    for finger, across in FINGERS.items():
        more = words.longer_m if finger == "index" else 0.0
        base = f"0 {mirror * across} {PALM[2] + more}"
        joints.append(
            _joint(
                f"{p}{finger}_mcp", f"{p}knuckles", f"{p}{finger}_proximal", base, "0 1 0", 0, 1.4
            )
        )
        mimic = f'<mimic joint="{p}{finger}_mcp" multiplier="0.9"/>' if finger == "ring" else ""
        joints.append(
            _joint(
                f"{p}{finger}_pip",
                f"{p}{finger}_proximal",
                f"{p}{finger}_distal",
                f"0 0 {LENGTHS[0]}",
                "0 2 0",
                0,
                1.5,
                mimic,
            )
        )
        links += _finger_links(p, finger)
    # A right thumb lies along +y and +z; its first joint brings it before the palm.
    sign = -mirror if not words.turned_thumb else mirror
    low, high = (0, 1.5) if not words.turned_thumb else (-1.5, 0)
    joints.append(
        _joint(
            f"{p}thumb_yaw",
            f"{p}knuckles",
            f"{p}thumb_proximal",
            f"0.01 {mirror * 0.05} 0.02",
            f"0 0 {sign}",
            low,
            high,
            rpy=f"{-mirror * 0.9} 0 0",
        )
    )
    joints.append(
        _joint(
            f"{p}thumb_pip",
            f"{p}thumb_proximal",
            f"{p}thumb_distal",
            f"0 0 {LENGTHS[0]}",
            f"{mirror} 0 0",
            0,
            1.3,
        )
    )
    links += _finger_links(p, "thumb")
    if words.reversed_order:
        joints = joints[::-1]
    return f'<robot name="{p}hand">{"".join(links)}{"".join(joints)}</robot>'


def _finger_links(prefix: str, finger: str) -> list[str]:
    """A proximal link without an inertia, and a distal one with an impossible one."""
    impossible = '<inertial><mass value="0.02"/><inertia ixx="1e-6" iyy="1e-6" izz="9e-6" ixy="0" ixz="0" iyz="0"/></inertial>'
    return [
        f'<link name="{prefix}{finger}_proximal">{_mesh("proximal.obj")}</link>',
        f'<link name="{prefix}{finger}_distal">{impossible}{_mesh("distal.dae")}</link>',
    ]


def _mesh(file: str, rpy: str = "0 0 0") -> str:
    geometry = f'<geometry><mesh filename="package://{PACKAGE}/meshes/{file}"/></geometry>'
    return f'<collision><origin rpy="{rpy}"/>{geometry}</collision>'


def _joint(
    name: str,
    parent: str,
    child: str,
    xyz: str,
    axis: str,
    low: float,
    high: float,
    more: str = "",
    rpy: str = "0 0 0",
) -> str:
    """A joint whose velocity and effort the maker left at zero."""
    return (
        f'<joint name="{name}" type="revolute"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="{xyz}" rpy="{rpy}"/><axis xyz="{axis}"/>'
        f'<limit lower="{low}" upper="{high}" velocity="0" effort="0"/>{more}</joint>'
    )


MJCF = """
<mujoco model="claw">
  <compiler angle="degree" autolimits="true"/>
  <default>
    <joint range="0 80"/>
    <geom type="capsule" size="0.008"/>
  </default>
  <worldbody>
    <geom type="plane" size="1 1 1"/>
    <body name="thing" pos="0.3 0 0"><freejoint/><geom size="0.02" type="sphere"/></body>
    <body name="arm" pos="0 0 0.3">
      <joint name="lift" type="slide" axis="0 0 1" range="0 0.1"/>
      <geom fromto="0 0 -0.1 0 0 0"/>
      <body name="base">
        <geom type="box" size="0.02 0.04 0.03" pos="0 0 0.03"/>
        <body name="digit_a" pos="0 0.03 0.06">
          <joint name="a1" axis="1 0 0"/>
          <geom fromto="0 0 0 0 0 0.04"/>
          <body name="digit_a_end" pos="0 0 0.04">
            <joint name="a2" axis="1 0 0" range="0 60"/>
            <geom fromto="0 0 0 0 0 0.03"/>
            <site name="a_tip" pos="0 0 0.03"/>
          </body>
        </body>
        <body name="digit_b" pos="0.015 -0.03 0.06">
          <joint name="b1" axis="-1 0 0"/>
          <geom fromto="0 0 0 0 0 0.04"/>
          <body name="digit_b_end" pos="0 0 0.04">
            <joint name="b2" axis="-1 0 0"/>
            <geom fromto="0 0 0 0 0 0.03"/>
          </body>
        </body>
        <body name="digit_c" pos="-0.015 -0.03 0.06">
          <joint name="c1" axis="-1 0 0"/>
          <geom fromto="0 0 0 0 0 0.04"/>
          <body name="digit_c_end" pos="0 0 0.04">
            <joint name="c2" axis="-1 0 0"/>
            <geom fromto="0 0 0 0 0 0.03"/>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <tendon>
    <fixed name="held"><joint joint="b1" coef="1"/><joint joint="b2" coef="-2"/></fixed>
    <fixed name="pulled"><joint joint="c1" coef="1"/><joint joint="c2" coef="0.5"/></fixed>
  </tendon>
  <equality>
    <joint joint1="a2" joint2="a1" polycoef="0 0.75 0 0 0"/>
    <tendon tendon1="held"/>
  </equality>
  <actuator>
    <position joint="lift" kp="10"/>
    <position joint="a1" kp="10" forcerange="-2 2"/>
    <position joint="b1" kp="10" forcerange="-2 2"/>
    <position tendon="pulled" kp="10" forcerange="-2 2"/>
  </actuator>
</mujoco>
"""

SLIDING_GRIPPER = """
<mujoco model="gripper">
  <worldbody>
    <body name="base">
      <geom type="box" size="0.02 0.05 0.03" pos="0 0 0.03"/>
      <body name="left_jaw" pos="0 0.01 0.06">
        <joint name="jaw" type="slide" axis="0 1 0" range="0 0.04" limited="true"/>
        <geom type="box" size="0.008 0.006 0.03" pos="0 0 0.03"/>
      </body>
      <body name="right_jaw" pos="0 -0.01 0.06">
        <joint name="other_jaw" type="slide" axis="0 -1 0" range="0 0.04" limited="true"/>
        <geom type="box" size="0.008 0.006 0.03" pos="0 0 0.03"/>
      </body>
    </body>
  </worldbody>
  <equality><joint joint1="other_jaw" joint2="jaw"/></equality>
  <actuator><position joint="jaw" kp="100" forcerange="-40 40"/></actuator>
</mujoco>
"""


def _finger(name: str, across_m: float, axis: str = "0 1 0") -> str:
    """A finger of one joint, upright."""
    return (
        f'<body name="{name}" pos="0 {across_m} 0"><joint name="{name}_flex" axis="{axis}"/>'
        f'<geom fromto="0 0 0 0 0 0.08"/></body>'
    )


PALM_OF_TWO_PARTS = f"""
<mujoco model="hand">
  <compiler autolimits="true"/>
  <default><joint range="0 80"/><geom type="capsule" size="0.008"/></default>
  <worldbody>
    <body name="base">
      <geom type="box" size="0.015 0.04 0.04" pos="0 0 -0.05"/>
      <body name="thumb" pos="0.02 0.045 -0.06">
        <joint name="thumb_flex" axis="1 0 0"/><geom fromto="0 0 0 0 0.03 0.05"/>
      </body>
      {_finger("index", 0.03)}
      {_finger("middle", 0.01)}
      <body name="half" pos="0 -0.02 0">
        <joint name="arch" axis="0 0 1" range="0 20"/>
        <geom type="box" size="0.01 0.01 0.02" pos="0 0 -0.03"/>
        {_finger("ring", 0.005)}
        {_finger("little", -0.015)}
      </body>
    </body>
  </worldbody>
</mujoco>
"""
"""Ring and little finger are on a part of the palm that bends."""


def three_fingers(thumb: str) -> str:
    """A hand of two upright fingers and a thumb before them that ends there [m]."""
    return f"""
<mujoco model="hand">
  <compiler autolimits="true"/>
  <default><joint range="0 80"/><geom type="capsule" size="0.008"/></default>
  <worldbody>
    <body name="base">
      <geom type="box" size="0.015 0.04 0.04" pos="0 0 -0.05"/>
      <body name="thumb" pos="0.02 0 0">
        <joint name="thumb_flex" axis="0 -1 0"/><geom fromto="0 0 0 {thumb}"/>
      </body>
      {_finger("index", 0.03)}
      {_finger("middle", -0.03)}
    </body>
  </worldbody>
</mujoco>
"""
