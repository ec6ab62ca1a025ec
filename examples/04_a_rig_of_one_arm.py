"""A rig of one arm, described in one YAML file.

`one_arm.yaml` puts an xArm7 with an Inspire hand beside a table, and a camera in front. Everything
follows from the file: the names of the joints, the nodes of the ROS graph, the simulated world.
Commands take it, too: `xlvla check one_arm.yaml`, `xlvla show one_arm.yaml`.

Prints the joints of both parts and the nodes that the rig needs; then the scripted expert plays one
episode of the rig's task in simulation, and how it ended is printed.
"""

from pathlib import Path

from xlvla import graph, rig_file
from xlvla.codec import Codec
from xlvla_sim.demonstration import demonstrate
from xlvla_sim.expert import Expert
from xlvla_sim.world import World

RIG = Path(__file__).with_name("one_arm.yaml")


def main() -> None:
    rig = rig_file.load(RIG)
    for side, part in rig.parts:
        names = rig.joint_names(side, part)
        print(f"{side} {part}: {len(names)} joints, {names[0]} to {names[-1]}")
    nodes = [node.name for node in graph.nodes(rig)]
    print(f"nodes: {', '.join(nodes)}")

    world = World(rig, render=False)
    expert = Expert(rig, Codec.load())
    played = demonstrate(world, expert, seed=0)
    print(f"{world.task.sentence} {played.status.text} after {world.time_s:.1f} s")


if __name__ == "__main__":
    main()
