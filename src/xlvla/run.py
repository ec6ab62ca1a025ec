"""Starts the nodes of a rig as processes and leaves none behind: the launcher where ROS 2's own is
not installed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import yaml

from xlvla import security
from xlvla.errors import XlvlaError
from xlvla.graph import NodeSpec, within
from xlvla.network import reach
from xlvla.node_process import Listener, Running
from xlvla.rig import Rig

READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 8.0
"""How long nodes may take to end after SIGINT. One that is killed may leave shared memory behind
that hinders the next.
"""

INSIST_TIMEOUT_S = 2.0
"""How long after SIGTERM, which follows; then they are killed."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

NODE_DEFAULTS = {**_ONE_THREAD, "MUJOCO_GL": "egl"}
"""Environment of every node, whoever starts it, where the caller's does not say otherwise."""

_DEFAULTS = {
    **NODE_DEFAULTS,
    "RCUTILS_CONSOLE_OUTPUT_FORMAT": "{severity}: {message}",
    "RCUTILS_COLORIZED_OUTPUT": "0",
}

AGAIN_S = 0.01
"""After so long an interruption that was lost is raised again."""

LONGEST_STOP_S = 15.0
"""After so long an interruption counts again."""

WHY = "stopped.txt"
"""Beside the rig's file: why the nodes are being stopped, where one of them ended."""


class NodeDied(XlvlaError):
    """A required node ended; `name` and `code` say which and how (negative: the signal that killed
    it).
    """

    def __init__(self, name: str, code: int, last_line: str):
        self.name = name
        self.code = code
        how = (
            f"was killed by {signal.Signals(-code).name}"
            if code < 0
            else f"ended with exit code {code}"
        )
        super().__init__(
            f"node '{name}' {how}, so the rig stopped" + (f": {last_line}" if last_line else "")
        )


class Supervisor:
    """The processes of a rig, as a context manager: leaving it stops them all, whatever happened.

    Each node is the leader of its own process group, so Ctrl-C reaches only this process, which
    then stops the nodes in order; should this process be killed outright, the kernel ends the nodes
    (`xlvla.ros.supervision`).

    Args:
        domain: ROS domain of the nodes; None keeps the environment's.
        listener: gets what the nodes print.
    """

    def __init__(
        self,
        rig: Rig,
        specs: Sequence[NodeSpec],
        *,
        domain: int | None = None,
        listener: Listener = lambda name, line: None,
    ):
        self._rig = rig
        self._specs = specs
        self._domain = domain
        self._listener = listener
        self.nodes: list[Running] = []
        self._stopping = False
        self._kept = contextlib.ExitStack()

    def __enter__(self) -> Supervisor:
        try:
            self._folder = self._kept.enter_context(tempfile.TemporaryDirectory(prefix="xlvla-"))
            self._notify = self._kept.enter_context(
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            )
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _start(self) -> None:
        self._notify.bind(b"\0xlvla-%d-%d" % (os.getpid(), id(self)))
        self._notify.setblocking(False)
        rig_path = self._rig.save(Path(self._folder) / f"{self._rig.name}.yaml")
        for spec in self._specs:
            self.nodes.append(self._spawn(spec, rig_path))

    def _spawn(self, spec: NodeSpec, rig_path: Path) -> Running:
        parameters = rig_path.with_name(f"{spec.name}.params.yaml")
        parameters.write_text(
            yaml.safe_dump({"/**": {"ros__parameters": spec.params(str(rig_path))}})
        )
        command = [
            sys.executable,
            "-m",
            spec.module,
            "--ros-args",
            "--params-file",
            str(parameters),
            "-r",
            f"__node:={spec.name}",
        ]
        command += ["-r", f"__ns:={within(spec.namespace)}"] if spec.namespace else []
        command += security.arguments(self._rig, spec, os.environ)
        process = subprocess.Popen(
            command,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        return Running(spec, process, self._on_output)

    def _on_output(self, name: str, line: str) -> None:
        if not self._stopping:
            self._listener(name, line)

    def _environment(self) -> dict[str, str]:
        chosen = {"PYTHONUNBUFFERED": "1", "XLVLA_SUPERVISOR_PID": str(os.getpid())}
        chosen["NOTIFY_SOCKET"] = f"@xlvla-{os.getpid()}-{id(self)}"
        if self._domain is not None:
            chosen["ROS_DOMAIN_ID"] = str(self._domain)
        environment = {**_DEFAULTS, **os.environ, **chosen}
        environment.pop(security.OVERRIDE, None)  # which is the operator's
        reach(self._rig.network, os.environ).apply(environment)
        return environment

    def wait_ready(
        self,
        timeout_s: float = READY_TIMEOUT_S,
        progress: Callable[[list[str]], None] = lambda waiting: None,
    ) -> None:
        """Waits until every node is up; raises NodeDied, or XlvlaError naming those that are
        late.
        """
        give_up = time.monotonic() + timeout_s
        while waiting := [node.spec.name for node in self.nodes if not node.ready]:
            progress(waiting)
            self.check()
            if time.monotonic() > give_up:
                late = "; ".join(node.stands_at() for node in self.nodes if not node.ready)
                raise XlvlaError(f"not ready after {timeout_s:.0f} s: {late}")
            self._read_notifications()
            time.sleep(0.05)

    def _read_notifications(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                fields = dict(
                    line.split("=", 1)
                    for line in self._notify.recv(4096).decode().splitlines()
                    if "=" in line
                )
                for node in self.nodes:
                    if fields.get("MAINPID") == str(node.process.pid):
                        node.ready = node.ready or fields.get("READY") == "1"
                        node.busy_with = fields.get("STATUS", node.busy_with)

    def check(self) -> None:
        """Raises NodeDied for the first node that has ended; the others may read why they are
        stopped then.
        """
        for node in self.nodes:
            code = node.process.poll()
            if code is not None:
                died = NodeDied(node.spec.name, code, node.last_line())
                (Path(self._folder) / WHY).write_text(str(died))
                raise died

    def stop(self) -> None:
        """Ends every process: politely, then not, which is said."""
        self._stopping = True
        try:
            self._end(signal.SIGINT, STOP_TIMEOUT_S)
            late = self._end(signal.SIGTERM, INSIST_TIMEOUT_S)
            for node in late:
                line = (
                    f"WARN: did not end within {STOP_TIMEOUT_S + INSIST_TIMEOUT_S:.0f} s of being "
                    "told to, and is killed"
                )
                self._listener(node.spec.name, line)
        finally:
            for node in self.nodes:
                node.kill(signal.SIGKILL)  # also reaches what a node started and left
                node.process.wait()
            self._kept.close()

    def _end(self, number: signal.Signals, timeout_s: float) -> list[Running]:
        """Asks every process to end; those that have not in time."""
        alive = [node for node in self.nodes if node.process.poll() is None]
        for node in alive:
            node.kill(number)
        give_up = time.monotonic() + timeout_s
        while alive and time.monotonic() < give_up:
            time.sleep(0.02)
            alive = [node for node in alive if node.process.poll() is None]
        return alive


def stopped_because(rig_path: Path) -> str:
    """Why a node is being stopped, by the launcher that gave it this file of its rig; '' where
    nothing went wrong.
    """
    try:
        return rig_path.with_name(WHY).read_text()
    except OSError:
        return ""


def own_domain() -> int:
    """A ROS domain that other graphs on this machine hardly use."""
    return 1 + os.getpid() % 100


@contextlib.contextmanager
def interruptible() -> Generator[None]:
    """What is inside is ended by signals (`ended_by_signals`), and what speaks ROS in it keeps to
    this machine, unless the shell says otherwise.
    """
    for key, value in _DEFAULTS.items():
        if key.startswith("RCUTILS_"):
            os.environ.setdefault(key, value)
    reach(False, os.environ).apply(os.environ)
    with ended_by_signals():
        yield


@contextlib.contextmanager
def ended_by_signals() -> Generator[None]:
    """The first SIGINT, SIGTERM or SIGHUP ends what is inside by KeyboardInterrupt, with everything
    cleaned up on the way.

    Further ones change nothing while that lasts: nodes that are killed leave shared memory in
    disorder. SIGINT counts too where this process was started with it ignored, as shells do in the
    background: a rig must be stoppable. SIGHUP does not where it is ignored, by nohup. After an
    interruption the process is about to end, and goes on to heed signals so.
    """
    asked_s = float("-inf")

    def stop(number: int, frame: object) -> None:
        nonlocal asked_s
        if time.monotonic() < asked_s + LONGEST_STOP_S:
            os.write(
                2,
                b"stopping: nodes get %d s to end by themselves\n"
                % (STOP_TIMEOUT_S + INSIST_TIMEOUT_S),
            )
            return
        asked_s = time.monotonic()
        raise KeyboardInterrupt

    def lost(unraisable: sys.UnraisableHookArgs) -> None:
        """Python ignores what is raised while an object is destroyed: then it is raised again."""
        if asked_s < 0 or unraisable.exc_type is not KeyboardInterrupt:
            reported(unraisable)
            return
        signal.signal(signal.SIGALRM, again)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)

    def again(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    reported = sys.unraisablehook
    sys.unraisablehook = lost
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    except Exception as error:
        if asked_s < 0 or isinstance(error, XlvlaError):
            raise
        raise KeyboardInterrupt from error  # what native code that was interrupted made of it
    finally:
        sys.unraisablehook = reported
        if asked_s < 0:
            for number, handler in before.items():
                signal.signal(number, handler)
