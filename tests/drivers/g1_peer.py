"""A DDS peer of a G1 as anybody would write one: the library's own encoder, types declared field by
field, a CRC by its definition.

`python g1_peer.py DOMAIN` drives the left shoulder to 0.5 rad with rt/arm_sdk and prints what it
found as JSON; with `rival` it only is a writer of rt/arm_sdk until it is ended. With `example` it
is configured as Unitree's SDK is, and says as little as the SDK's example of rt/arm_sdk in C++: no
mode_machine and no CRC. With `robot MODE` it is a robot that says this mode_machine and stands.
"""

import json
import struct
import sys
import time
from dataclasses import dataclass
from typing import Any, cast

import cyclonedds.idl.annotations as annotate
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import array, float32, int16, uint8, uint32
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic

from xlvla_drivers.arms import g1_dds, g1_frames

CONFIG = """<CycloneDDS><Domain Id="any"><General><Interfaces><NetworkInterface name="lo"/></Interfaces>
<AllowMulticast>false</AllowMulticast></General><Discovery><ParticipantIndex>auto</ParticipantIndex>
<Peers><Peer Address="127.0.0.1"/></Peers></Discovery></Domain></CycloneDDS>"""

SDK_CONFIG = """<CycloneDDS><Domain Id="any"><General><Interfaces>
<NetworkInterface name="lo" priority="default" multicast="default"/></Interfaces></General>
</Domain></CycloneDDS>"""


@dataclass
@annotate.final
@annotate.autoid("sequential")
class MotorCmd(IdlStruct, typename="unitree_hg.msg.dds_.MotorCmd_"):
    mode: uint8
    q: float32
    dq: float32
    tau: float32
    kp: float32
    kd: float32
    reserve: uint32


@dataclass
@annotate.final
@annotate.autoid("sequential")
class LowCmd(IdlStruct, typename="unitree_hg.msg.dds_.LowCmd_"):
    mode_pr: uint8
    mode_machine: uint8
    motor_cmd: array[MotorCmd, 35]
    reserve: array[uint32, 4]
    crc: uint32


@dataclass
@annotate.final
@annotate.autoid("sequential")
class MotorState(IdlStruct, typename="unitree_hg.msg.dds_.MotorState_"):
    mode: uint8
    q: float32
    dq: float32
    ddq: float32
    tau_est: float32
    temperature: array[int16, 2]
    vol: float32
    sensor: array[uint32, 2]
    motorstate: uint32
    reserve: array[uint32, 4]


@dataclass
@annotate.final
@annotate.autoid("sequential")
class IMUState(IdlStruct, typename="unitree_hg.msg.dds_.IMUState_"):
    quaternion: array[float32, 4]
    gyroscope: array[float32, 3]
    accelerometer: array[float32, 3]
    rpy: array[float32, 3]
    temperature: int16


@dataclass
@annotate.final
@annotate.autoid("sequential")
class LowState(IdlStruct, typename="unitree_hg.msg.dds_.LowState_"):
    version: array[uint32, 2]
    mode_pr: uint8
    mode_machine: uint8
    tick: uint32
    imu_state: IMUState
    motor_state: array[MotorState, 35]
    wireless_remote: array[uint8, 40]
    reserve: array[uint32, 4]
    crc: uint32


def crc(words):
    """CRC-32/MPEG-2 bit by bit."""
    value = 0xFFFFFFFF
    for word in words:
        for bit in range(31, -1, -1):
            top = (value >> 31) ^ (word >> bit & 1)
            value = (value << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if top else 0)
    return value


def state_image(state):
    imu = state.imu_state
    data = struct.pack("<2I2B2xI", *state.version, state.mode_pr, state.mode_machine, state.tick)
    data += struct.pack(
        "<13fh2x", *imu.quaternion, *imu.gyroscope, *imu.accelerometer, *imu.rpy, imu.temperature
    )
    for m in state.motor_state:
        data += struct.pack(
            "<B3x4f2hf7I",
            m.mode,
            m.q,
            m.dq,
            m.ddq,
            m.tau_est,
            *m.temperature,
            m.vol,
            *m.sensor,
            m.motorstate,
            *m.reserve,
        )
    return data + struct.pack("<40B4I", *state.wireless_remote, *state.reserve)


def command_image(command):
    data = struct.pack("<2B2x", command.mode_pr, command.mode_machine)
    data += b"".join(
        struct.pack("<B3x5fI", m.mode, m.q, m.dq, m.tau, m.kp, m.kd, m.reserve)
        for m in command.motor_cmd
    )
    return data + struct.pack("<4I", *command.reserve)


def words(image):
    return struct.unpack(f"<{len(image) // 4}I", image)


def command(mode_machine, shoulder, weight):
    motors: Any = [MotorCmd(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0) for _ in range(35)]
    motors[15] = MotorCmd(1, shoulder, 0.0, 0.0, 60.0, 1.5, 0)
    motors[29].q = weight
    made = LowCmd(0, mode_machine, motors, cast(Any, [0] * 4), 0)
    made.crc = crc(words(command_image(made)))
    return made


def state(mode_machine, tick):
    imu: Any = IMUState(*(cast(Any, [0.0] * count) for count in (4, 3, 3, 3)), 0)
    made = LowState(
        version=cast(Any, [0, 0]),
        mode_pr=0,
        mode_machine=mode_machine,
        tick=tick,
        imu_state=imu,
        motor_state=cast(Any, [_still() for _ in range(35)]),
        wireless_remote=cast(Any, [0] * 40),
        reserve=cast(Any, [0] * 4),
        crc=0,
    )
    made.crc = crc(words(state_image(made)))
    return made


def _still():
    return MotorState(
        1, 0.0, 0.0, 0.0, 0.0, cast(Any, [30, 30]), 0.0, cast(Any, [0, 0]), 0, cast(Any, [0] * 4)
    )


def wait_for_state(reader):
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        if found := reader.take(1):
            return found[0]
        time.sleep(0.01)
    raise SystemExit("no rt/lowstate")


def same_bytes_as_ours():
    """Whether our encoder and the library's make the same stream, and our types are the vendor's by
    name and layout.
    """
    theirs = command(5, 0.5, 1.0)
    ours = g1_frames.LOW_CMD.decode(theirs.serialize())
    assert ours is not None
    types = {
        kind.__idl__.idl_transformed_typename: our.__idl__.idl_transformed_typename
        for kind, our in ((LowCmd, g1_dds.LowCmd), (LowState, g1_dds.LowState))
    }
    hashes = [
        kind.__idl__.get_type_id().serialize()
        for kind in (LowCmd, g1_dds.LowCmd, LowState, g1_dds.LowState)
    ]
    return (
        g1_frames.LOW_CMD.encode(ours.copy()) == theirs.serialize()
        and all(a == b for a, b in types.items())
        and hashes[::2] == hashes[1::2]
    )


def main():
    number = int(sys.argv[1])
    example = "example" in sys.argv
    domain = Domain(number, SDK_CONFIG if example else CONFIG)
    participant = DomainParticipant(number)
    if "robot" in sys.argv:
        states = DataWriter(participant, Topic(participant, "rt/lowstate", LowState))
        for tick in range(10**6):
            states.write(state(int(sys.argv[-1]), tick))
            time.sleep(0.01)
    writer = DataWriter(participant, Topic(participant, "rt/arm_sdk", LowCmd))
    if "rival" in sys.argv:
        print("writing", flush=True)
        while True:
            # Of another robot, so that ours counts what our driver says alone.
            writer.write(command(6, 0.5, 0.0))
            time.sleep(0.02)
    reader = DataReader(participant, Topic(participant, "rt/lowstate", LowState))
    first = wait_for_state(reader)
    for tick in range(150):
        mode_machine = 0 if example else first.mode_machine
        made = command(mode_machine, 0.5, tick / 100 if tick < 100 else 1.0)
        if example:
            made.crc = 0
        writer.write(made)
        time.sleep(0.005)
    reader.take(1)
    last: Any = wait_for_state(reader)
    found = {
        "mode_machine": first.mode_machine,
        "crc": first.crc == crc(words(state_image(first))),
        "size": len(first.serialize()),
        "ticks": last.tick - first.tick,
        "shoulder": last.motor_state[15].q,
        "same_bytes": same_bytes_as_ours(),
    }
    print(json.dumps(found))
    del domain


if __name__ == "__main__":
    main()
