"""A DDS peer of a Dex3-1 as anybody would write one: the library's own encoder, types declared
field by field.

`python dex3_peer.py DOMAIN SIDE` drives the index finger's first joint of a hand to half of its
range and prints what it found as JSON; with `rival` it only commands the hand until it is ended.
"""

import json
import sys
import time
from dataclasses import dataclass
from typing import Any, cast

import cyclonedds.idl.annotations as annotate
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import array, float32, sequence, uint32
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from g1_peer import CONFIG, IMUState, MotorCmd, MotorState

from xlvla_drivers.arms import g1_dds
from xlvla_drivers.hands import dex3_frames

INDEX_0 = 5


@dataclass
@annotate.final
@annotate.autoid("sequential")
class PressSensorState(IdlStruct, typename="unitree_hg.msg.dds_.PressSensorState_"):
    pressure: array[float32, 12]
    temperature: array[float32, 12]
    lost: uint32
    reserve: uint32


@dataclass
@annotate.final
@annotate.autoid("sequential")
class HandCmd(IdlStruct, typename="unitree_hg.msg.dds_.HandCmd_"):
    motor_cmd: sequence[MotorCmd]
    reserve: array[uint32, 4]


@dataclass
@annotate.final
@annotate.autoid("sequential")
class HandState(IdlStruct, typename="unitree_hg.msg.dds_.HandState_"):
    motor_state: sequence[MotorState]
    press_sensor_state: sequence[PressSensorState]
    imu_state: IMUState
    power_v: float32
    power_a: float32
    system_v: float32
    device_v: float32
    error: array[uint32, 2]
    reserve: array[uint32, 2]


def command(index_0):
    motors: Any = [MotorCmd(0x10 + i, 0.0, 0.0, 0.0, 1.5, 0.1, 0) for i in range(7)]
    motors[INDEX_0].q = index_0
    return HandCmd(motors, cast(Any, [0] * 4))


def wait_for_state(reader):
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        if found := reader.take(1):
            return found[0]
        time.sleep(0.01)
    raise SystemExit("no state")


def same_command():
    """Whether our encoder and the library's make the same stream of a command."""
    theirs = command(0.5)
    motors = dex3_frames.decode_command(theirs.serialize())
    ours = dex3_frames.command([0, 0, 0, 0, 0, 0.5, 0], 1.5, 0.1)
    return motors is not None and ours == theirs.serialize()


def same_state(state):
    """Whether the library's encoder makes of a state what our emulator sent."""
    data = state.serialize()
    ours = dex3_frames.decode_state(data)
    return ours is not None and dex3_frames.encode_state(ours) == data


def same_types():
    """Whether our types are the vendor's by name and layout."""
    pairs = ((HandCmd, g1_dds.HandCmd), (HandState, g1_dds.HandState))
    names = [[kind.__idl__.idl_transformed_typename for kind in pair] for pair in pairs]
    hashes = [[kind.__idl__.get_type_id().serialize() for kind in pair] for pair in pairs]
    return all(theirs == ours for theirs, ours in (*names, *hashes))


def main():
    number = int(sys.argv[1])
    side = sys.argv[2]
    domain = Domain(number, CONFIG)
    participant = DomainParticipant(number)
    writer = DataWriter(participant, Topic(participant, f"rt/dex3/{side}/cmd", HandCmd))
    if "rival" in sys.argv:
        print("writing", flush=True)
        while True:
            writer.write(command(0.0))
            time.sleep(0.02)
    reader = DataReader(participant, Topic(participant, f"rt/dex3/{side}/state", HandState))
    wait_for_state(reader)
    target = 0.8 if side == "right" else -0.8
    for _ in range(100):
        writer.write(command(target))
        time.sleep(0.01)
    reader.take(1)
    last: Any = wait_for_state(reader)
    found = {
        "motors": len(last.motor_state),
        "sensors": len(last.press_sensor_state),
        "index_0": last.motor_state[INDEX_0].q,
        "command": same_command(),
        "state": same_state(last),
        "types": same_types(),
    }
    print(json.dumps(found))
    del domain


if __name__ == "__main__":
    main()
