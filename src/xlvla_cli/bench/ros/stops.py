"""The ways to stop a running rig, and which of them are tried on what motion."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from std_msgs.msg import String

from xlvla.node_process import Running
from xlvla.rig import Rig
from xlvla.ros import topics
from xlvla.ros.stop import Stop as StopWord
from xlvla.ros.stop import encode
from xlvla.types import Side
from xlvla_cli.bench.ros.running_rig import RunningRig
from xlvla_cli.bench.ros.stop_rows import Moving, Stop
from xlvla_cli.ros.faults import FaultOrders

STANDS_STILL_S = 2.0
UNPLUGGED_S = 1.0
HALTS_S = 0.7

STOPPED_BY = "bench"


def _estop(running: RunningRig) -> None:
    running.operator.call(topics.ESTOP)


def _reset(running: RunningRig) -> None:
    running.operator.call(topics.MOTION_RESET)


def _disengage(running: RunningRig) -> None:
    running.operator.call(topics.ENGAGE, data=False)


def _disengage_and_engage(running: RunningRig) -> None:
    running.operator.call(topics.ENGAGE, data=False)
    running.pause(0.01)
    running.operator.call(topics.ENGAGE, data=True)


def _choose_source(running: RunningRig) -> None:
    running.send(topics.SOURCE, String(data="somebody else"))


def _choose_no_source(running: RunningRig) -> None:
    running.send(topics.SOURCE, String(data=""))


def _nothing(running: RunningRig) -> None:
    pass


def _terminate(running: RunningRig) -> None:
    running.motion.kill(signal.SIGTERM)


def _kill(running: RunningRig) -> None:
    running.motion.kill(signal.SIGKILL)


def _stop_without_motion(running: RunningRig) -> None:
    """Motion dies, and another node stops the drivers."""
    running.motion.kill(signal.SIGKILL)
    running.send(topics.STOP, encode(StopWord(True, STOPPED_BY, running.clock.now_ns())))


def _end_stop(running: RunningRig) -> None:
    running.send(topics.STOP, encode(StopWord(False, STOPPED_BY, running.clock.now_ns())))
    running.unpublish(topics.STOP)


def _halt_motion(running: RunningRig) -> float:
    return _halt(running, running.motion, STANDS_STILL_S)


def _halt_driver(running: RunningRig) -> float:
    return _halt(running, running.process(f"{_first(running)}_arm"), STANDS_STILL_S)


def _halt_simulation(running: RunningRig) -> float:
    return _halt(running, running.process("sim"), HALTS_S)


def _halt(running: RunningRig, process: Running, seconds: float) -> float:
    """A process stands still for some time; when it goes on [s]."""
    process.kill(signal.SIGSTOP)
    try:
        running.pause(seconds)
    finally:
        process.kill(signal.SIGCONT)
    return running.now_s()


def _unplug(running: RunningRig) -> float:
    orders = FaultOrders(running.node)
    part = f"{_first(running)} arm"
    orders.order(part, "unplug", True)
    running.pause(UNPLUGGED_S)
    orders.order(part, "unplug", False)
    return running.now_s()


def _new_scene(running: RunningRig) -> None:
    running.operator.reset()
    running.pass_s(0.1)


def _first(running: RunningRig) -> Side:
    return next(iter(running.rig.sides))


ESTOP = Stop(topics.ESTOP.name, _estop)
RESET = Stop(topics.MOTION_RESET.name, _reset)
DISENGAGE = Stop(f"{topics.ENGAGE.name} false", _disengage)
REENGAGE = Stop("engage false, true 10 ms later", _disengage_and_engage)
SOURCE = Stop(topics.SOURCE.name, _choose_source, after=_choose_no_source)
CHUNK_END = Stop("end of a chunk", _nothing, lasts_s=1.6, frames=20)
HORIZON = Stop("source falls silent", _nothing, lasts_s=3.0)
SIGTERM = Stop("SIGTERM of motion", _terminate)
SIGKILL = Stop("SIGKILL of motion", _kill, ends="anyhow", lasts_s=1.2, binds=False)
STOP = Stop(
    f"{topics.STOP.name}, motion dead", _stop_without_motion, ends="anyhow", after=_end_stop
)
HALT_MOTION = Stop("motion stands still for 2 s", _halt_motion, ends="anyhow", lasts_s=1.0)
HALT_DRIVER = Stop("an arm's driver stands still for 2 s", _halt_driver, lasts_s=1.5)
UNPLUG = Stop("joint states silent: arm unplugged for 1 s", _unplug, lasts_s=3.0, lost="arm")
HALT_SIMULATION = Stop(
    "joint states silent: simulation halts 0.7 s",
    _halt_simulation,
    lasts_s=1.8,
    frames=24,
    goes_on=True,
)
NEW_SCENE = Stop(topics.SIM_RESET.name, _new_scene, ends="elsewhere")

SIMULATED = (HALT_SIMULATION, NEW_SCENE)
ON_DEVICES = (HALT_DRIVER, UNPLUG)

TRIED: tuple[tuple[Stop, Moving, bool], ...] = (
    (ESTOP, "slow", False),
    (ESTOP, "fast", False),
    (ESTOP, "both", False),
    (ESTOP, "hands", False),
    (ESTOP, "fast", True),
    (RESET, "slow", False),
    (RESET, "fast", False),
    (RESET, "both", False),
    (RESET, "hands", False),
    (DISENGAGE, "fast", False),
    (DISENGAGE, "both", False),
    (DISENGAGE, "hands", False),
    (DISENGAGE, "fast", True),
    (REENGAGE, "slow", False),
    (REENGAGE, "fast", False),
    (REENGAGE, "hands", False),
    (SOURCE, "fast", False),
    (SOURCE, "hands", False),
    (CHUNK_END, "both", False),
    (HORIZON, "slow", False),
    (NEW_SCENE, "both", False),
    (HALT_SIMULATION, "both", False),
    (HALT_DRIVER, "both", False),
    (UNPLUG, "both", False),
    (HALT_MOTION, "both", False),
    (SIGTERM, "both", False),
    (SIGKILL, "fast", False),
    (SIGKILL, "both", True),
    (STOP, "both", True),
)
"""Stop, what moves, and whether a rogue node commands afterwards."""


def tried(rig: Rig) -> Iterator[tuple[Stop, Moving, bool]]:
    """What is tried on a rig, simulated or of emulated devices."""
    missing = ON_DEVICES if rig.sim else SIMULATED
    return (entry for entry in TRIED if entry[0] not in missing)
