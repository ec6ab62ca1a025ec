"""The DDS topics of a G1 and of its Dex3 hands over CycloneDDS. Only for a process that has no
other DDS library: never beside rclpy.

Samples stay bytes: the library's own encoder, in Python, takes 3 ms for a message that comes 500
times a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cyclonedds.core import DDSException
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import make_idl_struct
from cyclonedds.idl.annotations import autoid, final
from cyclonedds.idl.types import array, float32, int16, int32, sequence, uint8, uint16, uint32
from cyclonedds.internal import InvalidSample
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic

from xlvla.errors import XlvlaError
from xlvla_drivers.arms.g1_frames import MOTORS

QUEUE = 32
"""Samples that may wait to be taken; a 500 Hz stream is taken in time every 64 ms."""

_CONFIG = """<CycloneDDS><Domain Id="any">
<General><Interfaces><NetworkInterface {interface}/></Interfaces>{general}</General>
<Discovery><ParticipantIndex>auto</ParticipantIndex>{peers}</Discovery></Domain></CycloneDDS>"""


def _type(name: str, fields: dict[str, Any]) -> Any:
    """A final IDL struct, members numbered in order, as Unitree's are."""
    made: Any = make_idl_struct(name, f"unitree_hg.msg.dds_.{name}", fields)
    return final(autoid("sequential")(made))


def _message(name: str, fields: dict[str, Any]) -> Any:
    """An IDL struct whose samples are made by `of`, from CDR bytes, and keep them in `data`."""

    def of(kind: Any, data: bytes, *_: Any, **__: Any) -> Any:
        made = kind.__new__(kind)
        made.data = bytes(data)
        return made

    made = _type(name, fields)
    made.of = made.deserialize = classmethod(of)
    made.serialize = lambda sample, *_, **__: sample.data
    return made


def _floats(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), float32)


MotorCmd = _type("MotorCmd_", {"mode": uint8, **_floats("q dq tau kp kd"), "reserve": uint32})
MotorState = _type(
    "MotorState_",
    {
        "mode": uint8,
        **_floats("q dq ddq tau_est"),
        "temperature": array[int16, 2],
        "vol": float32,
        "sensor": array[uint32, 2],
        "motorstate": uint32,
        "reserve": array[uint32, 4],
    },
)
ImuState = _type(
    "IMUState_",
    {
        "quaternion": array[float32, 4],
        **dict.fromkeys(("gyroscope", "accelerometer", "rpy"), array[float32, 3]),
        "temperature": int16,
    },
)
LowCmd = _message(
    "LowCmd_",
    {
        "mode_pr": uint8,
        "mode_machine": uint8,
        "motor_cmd": array[MotorCmd, MOTORS],
        "reserve": array[uint32, 4],
        "crc": uint32,
    },
)
LowState = _message(
    "LowState_",
    {
        "version": array[uint32, 2],
        "mode_pr": uint8,
        "mode_machine": uint8,
        "tick": uint32,
        "imu_state": ImuState,
        "motor_state": array[MotorState, MOTORS],
        "wireless_remote": array[uint8, 40],
        "reserve": array[uint32, 4],
        "crc": uint32,
    },
)
BmsState = _message(
    "BmsState_",
    {
        **dict.fromkeys(("version_high", "version_low", "fn"), uint8),
        "cell_vol": array[uint16, 40],
        "bmsvoltage": array[uint32, 3],
        "current": int32,
        "soc": uint8,
        "soh": uint8,
        "temperature": array[int16, 12],
        "cycle": uint16,
        "manufacturer_date": uint16,
        "bmsstate": array[uint32, 5],
        "reserve": array[uint32, 3],
    },
)
PressSensorState = _type(
    "PressSensorState_",
    {
        "pressure": array[float32, 12],
        "temperature": array[float32, 12],
        "lost": uint32,
        "reserve": uint32,
    },
)
HandCmd = _message("HandCmd_", {"motor_cmd": sequence[MotorCmd], "reserve": array[uint32, 4]})
HandState = _message(
    "HandState_",
    {
        "motor_state": sequence[MotorState],
        "press_sensor_state": sequence[PressSensorState],
        "imu_state": ImuState,
        **_floats("power_v power_a system_v device_v"),
        "error": array[uint32, 2],
        "reserve": array[uint32, 2],
    },
)


class Bus:
    """One participant of a DDS domain on one network interface (name or IP number).

    On the loopback interface participants find each other by its address, whether it takes
    multicast or not, and announce themselves by multicast, too, as Unitree's SDK does there. Data
    goes to each reader by itself.
    """

    def __init__(self, interface: str, domain: int):
        kind = "address" if interface[:1].isdigit() else "name"
        general = ""
        peers = ""
        if interface in ("lo", "127.0.0.1"):
            general = "<AllowMulticast>spdp</AllowMulticast>"
            peers = '<Peers><Peer Address="127.0.0.1"/></Peers>'
        config = _CONFIG.format(interface=f'{kind}="{interface}"', general=general, peers=peers)
        try:
            self._domain = Domain(domain, config)
            self.participant = DomainParticipant(domain)
        except DDSException as error:
            raise XlvlaError(
                f"no DDS on network interface '{interface}', domain {domain}: {error.msg}"
            ) from None

    def reader(self, topic: str, kind: Any) -> DataReader:
        """Default QoS but for how many samples may wait."""
        qos = Qos(Policy.History.KeepLast(QUEUE))
        return DataReader(self.participant, Topic(self.participant, topic, kind), qos=qos)

    def writer(self, topic: str, kind: Any) -> DataWriter:
        return DataWriter(self.participant, Topic(self.participant, topic, kind))


def samples(reader: DataReader) -> Iterator[tuple[bytes, int]]:
    """All that has arrived: the bytes and when they were sent [ns, the sender's clock]."""
    for sample in reader.take(QUEUE):
        if not isinstance(sample, InvalidSample):
            yield sample.data, sample.sample_info.source_timestamp  # pyright: ignore[reportAttributeAccessIssue]
