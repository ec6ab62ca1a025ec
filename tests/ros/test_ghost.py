"""What RViz shows of a chunk is where the chunk goes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from visualization_msgs.msg import Marker

from xlvla import rig_file, robot
from xlvla.kinematics import Kinematics
from xlvla.ros.chunk_markers import GHOSTS, TRAIL_STEP, ChunkMarkers
from xlvla.types import PARTS, scoped

RIG = rig_file.with_choices(rig_file.load("bimanual"), hands={"left": "inspire", "right": "paxini"})


@pytest.fixture(scope="module")
def chunk():
    rng = np.random.default_rng(0)
    positions = {}
    for side in RIG.sides:
        arm = np.array(list(RIG.home(side).values())) + np.cumsum(
            rng.normal(0, 0.005, (64, 7)), axis=0
        )
        lower, upper = RIG.hand(side).command_range(side)
        positions[side] = {"arm": arm, "hand": np.linspace(lower, upper, 64)}
    return positions


def test_fingertip_trails_follow_the_kinematics_of_each_arm_with_its_hand(chunk):
    markers = {(m.ns, m.id): m for m in ChunkMarkers(RIG).markers(chunk, 7).markers}
    for side in RIG.sides:
        names = [name for part in PARTS for name in RIG.joint_names(side, part)]
        one_arm = Kinematics(robot.arm_with_hand(RIG.arm(side), RIG.hand(side), side), names)
        tips = [scoped(side, "hand", link) for link in RIG.hand(side).tip_links(side).values()]
        base = np.array(RIG.sides[side].arm.xyz)
        for number, tip in enumerate(tips):
            trail = markers[f"{side} trails", number]
            assert trail.type == Marker.LINE_STRIP and len(trail.points) == 64 // TRAIL_STEP
            for k, point in enumerate(trail.points):
                q = np.concatenate([chunk[side][part][k * TRAIL_STEP] for part in PARTS])
                assert [point.x, point.y, point.z] == pytest.approx(
                    base + one_arm.fk(q, [tip])[tip][:3, 3], abs=1e-9
                )


def test_ghosts_are_solid_shapes_near_their_hand_and_replace_the_older_ones(chunk):
    markers = ChunkMarkers(RIG).markers(chunk, 7).markers
    assert markers[0].action == Marker.DELETEALL
    ghosts = [m for m in markers if "ghost" in m.ns]
    assert {m.ns for m in ghosts} == {
        f"{side} ghost {k}" for side in RIG.sides for k in range(GHOSTS)
    }
    assert len({(m.ns, m.id) for m in markers}) == len(markers)
    for marker in ghosts:
        o = marker.pose.orientation
        assert o.x**2 + o.y**2 + o.z**2 + o.w**2 == pytest.approx(1.0)
        assert min(marker.scale.x, marker.scale.y, marker.scale.z) > 0 and 0 < marker.color.a < 1
        assert marker.header.frame_id == "world"


def test_a_side_without_a_hand_has_nothing_to_show(chunk):
    bare = rig_file.with_choices(RIG, hands={"left": "none"})
    positions = {"left": {"arm": chunk["left"]["arm"]}, "right": chunk["right"]}
    shown = {marker.ns for marker in ChunkMarkers(bare).markers(positions, 7).markers}
    assert "right ghost 0" in shown
    assert not any(name.startswith("left") for name in shown)
