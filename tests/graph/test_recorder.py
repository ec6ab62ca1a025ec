"""The recorder on the running graph: what it keeps, what it says of it, and what it survives."""

from __future__ import annotations

import json
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mcap")
cv2 = pytest.importorskip("cv2")

from rosbags.highlevel import AnyReader

import retries
from xlvla import graph, rig_file
from xlvla.device import DeviceConfig
from xlvla.errors import XlvlaError
from xlvla.recording import RecorderConfig
from xlvla.rig import Rig
from xlvla.ros import convert, topics
from xlvla.ros.clock import SimClock
from xlvla.ros.reader import Reader
from xlvla.run import NodeDied, Supervisor, interruptible, own_domain
from xlvla.types import CHUNK_HZ, PARTS
from xlvla_cli.ros.controls import Controls
from xlvla_cli.ros.operator import Operator
from xlvla_cli.ros.session import Session
from xlvla_data.bag.card import read_episode_card
from xlvla_data.bag.layout import mcap_path
from xlvla_data.bag.reader import Bag, bags

DOMAIN = 1 + (own_domain() + 7) % 100
WAIT_S = 60.0


class Desk:
    """Somebody at a rig with a recorder."""

    def __init__(self, operator: Operator, rig: Rig, check: Callable[[], None]):
        self.operator = operator
        self.rig = rig
        self.check = check
        self.controls = Controls(operator, rig)
        self.cues: list[tuple[str, str]] = []
        self._status = Reader(operator.node, topics.RECORDER_STATUS)
        self._said: dict[str, Any] = {}
        self._chunks = {
            side: operator.node.create_publisher(topic.type, topic.name, topic.qos)
            for side in rig.sides
            for topic in [topics.chunk(side)]
        }

    @property
    def status(self) -> dict[str, Any]:
        if (message := self._status.newest()) is not None:
            self._said = json.loads(message.data)
        return self._said

    def until(self, true: Callable[[], Any], otherwise: str) -> Any:
        give_up = time.monotonic() + WAIT_S
        while not (value := true()):
            assert time.monotonic() < give_up, f"{otherwise}: {self.status}, {self.cues}"
            self.check()
            self.cues += self.controls.cues()
            time.sleep(0.01)
        return value

    def press(self, key: str, *words: str) -> str:
        """Presses a key; the line of the cue with one of these words."""
        self.controls.cues()
        self.cues.clear()
        self.controls.press(key)
        return self.until(
            lambda: next((line for word, line in self.cues if word in words), None),
            f"no cue of {words}",
        )

    def record(self, seconds: float, clock: SimClock | None = None) -> Path:
        """Records so long, with chunks that move the robot where there is a clock; the episode's
        folder.
        """
        self.operator.call(topics.RECORDER_START)
        folder = Path(
            self.until(
                lambda: self.status.get("state") == "recording" and self.status["folder"],
                "it does not record",
            )
        )
        end = time.monotonic() + seconds
        next_chunk = 0.0
        while time.monotonic() < end:
            if clock and time.monotonic() > next_chunk:
                self._move(clock)
                next_chunk = time.monotonic() + 0.4
            self.until(lambda: True, "")
            time.sleep(0.01)
        return folder

    def _move(self, clock: SimClock) -> None:
        now_ns = clock.now_ns()
        for side, publisher in self._chunks.items():
            times = now_ns / convert.SECOND + (1 + np.arange(40)) / CHUNK_HZ
            pose = np.array(list(self.rig.start(side).values()))
            rows = pose + np.sin(times)[:, None] * np.where(np.arange(len(pose)) == 3, 0.15, 0.0)
            names = [name for part in PARTS for name in self.rig.joint_names(side, part)]
            publisher.publish(convert.trajectory(names, rows, now_ns, CHUNK_HZ))


def recorded_rig(folder: Path, **choices: Any) -> Rig:
    rig = rig_file.with_choices(rig_file.load("bimanual"), policy="none", hands={"left": "inspire"})
    return replace(
        rig,
        recorder=RecorderConfig(
            folder=str(folder), instruction="Push the cans.", least_free_gb=1e-6, **choices
        ),
    )


@contextmanager
def recorder(
    rig: Rig, operator: Operator, others: Callable[[], None] = lambda: None, domain: int = DOMAIN
) -> Iterator[tuple[Desk, Supervisor]]:
    """A recorder that is started beside a rig that runs."""
    with Supervisor(rig, graph.chosen(rig, only=["recorder"]), domain=domain) as supervisor:
        supervisor.wait_ready()

        def check() -> None:
            others()
            supervisor.check()

        desk = Desk(operator, rig, check)
        desk.until(lambda: desk.status, "the recorder says nothing")
        yield desk, supervisor


@pytest.fixture(scope="module")
@retries.once_more
def body() -> Iterator[Session]:
    """A simulated rig without a recorder; each test brings its own."""
    rig = replace(recorded_rig(Path("nowhere")), recorder=None)
    with interruptible(), Session(rig, domain=DOMAIN) as session:
        session.operator.reset()
        yield session


@pytest.fixture
def desk(body, tmp_path) -> Iterator[Desk]:
    with recorder(recorded_rig(tmp_path), body.operator, body.supervisor.check) as (desk, _):
        yield desk


def test_services_refuse_what_makes_no_sense_in_one_line(desk):
    operator = desk.operator
    with pytest.raises(XlvlaError, match="nothing is being recorded"):
        operator.call(topics.RECORDER_STOP)
    with pytest.raises(XlvlaError, match="no episode was recorded yet"):
        operator.call(topics.RECORDER_DISCARD)
    operator.call(topics.RECORDER_START)
    with pytest.raises(XlvlaError, match="episode_000000 is being recorded already"):
        operator.call(topics.RECORDER_START)
    operator.call(topics.RECORDER_MARK, data=False)
    operator.instruct("Pour the sugar.")
    desk.until(
        lambda: operator.call(topics.RECORDER_RELABEL).endswith("'Pour the sugar.'"),
        "the sentence does not arrive",
    )
    operator.call(topics.RECORDER_STOP)
    card = read_episode_card(
        Path(
            desk.until(
                lambda: desk.status.get("state") == "stopped" and desk.status["folder"],
                "it does not stop",
            )
        )
    )
    assert (card.instruction, card.success) == ("Pour the sugar.", False)


def test_an_episode_holds_what_the_rig_said(desk, body):
    clock = SimClock(body.operator.node, 1.0)
    body.operator.instruct("Stack the cans.")
    desk.until(
        lambda: desk.status.get("instruction") == "Stack the cans.", "the sentence does not arrive"
    )
    folder = desk.record(4.0, clock)
    assert f"{folder.name} ended" in body.operator.call(topics.RECORDER_STOP)
    bag = Bag(folder)
    card = read_episode_card(folder)
    assert bag.whole and card.state == "stopped"
    assert (card.task, card.instruction, card.simulated, card.seed) == (
        "push_cans",
        "Stack the cans.",
        True,
        0,
    )
    assert card.hands == {"left": "inspire", "right": "xhand"}
    assert rig_file.from_document(dict(card.rig), "card") == desk.rig
    counts: dict[str, int] = dict.fromkeys(bag.topics, 0)
    for message in bag.messages():
        counts[message.topic] += 1
    assert {name for name, count in counts.items() if count} >= {
        *card.rates_hz,
        "/left/chunk",
        "/instruction",
        "/reset",
        "/sim/status",
        "/clock",
        "/diagnostics",
        "/joint_states",
        "/robot_description",
        "/tf",
        "/tf_static",
    }
    assert "/cameras/front/image_raw" not in bag.topics
    picture = next(bag.messages(["/cameras/front/image_raw/compressed"])).content
    assert cv2.imdecode(picture.data, cv2.IMREAD_COLOR).shape == (240, 320, 3)
    states = [message.stamp_ns for message in bag.messages(["/right/arm/joint_states"])]
    assert np.median(np.diff(states)) == pytest.approx(1e7, rel=0.01)
    stamps = [
        message.stamp_ns
        for message in bag.messages(list(card.rates_hz))
        if message.log_ns >= card.began_ns
    ]
    assert card.duration_s == pytest.approx((max(stamps) - min(stamps)) / 1e9, abs=0.05)
    assert not [
        line
        for line in card.findings
        if "nothing came" in line or "stood still" in line or "lacks" in line
    ]
    assert card.figures["/left/arm/joint_states"]["claim [Hz]"] == 100.0
    with AnyReader([folder]) as reader:
        assert reader.message_count == sum(counts.values())


def test_it_is_worked_by_keys_and_a_fumbled_press_loses_nothing(desk):
    name = desk.press("t", "start").removesuffix(" is being recorded")
    assert desk.press("s", "success") == f"{name} succeeded"
    desk.until(lambda: desk.status.get("duration_s", 0) > 0.5, "it does not go on")
    folder = Path(desk.status["folder"])
    assert f"{name} ended" in desk.press("t", "stop", "bad")
    assert folder.name == name and read_episode_card(folder).success is True
    assert "press again" in desk.press("x", "ask")
    assert folder.is_dir(), "one press discards nothing"
    assert desk.press("x", "discard") == f"{name} is discarded"
    aside = folder.parent / "discarded" / name
    assert read_episode_card(aside).state == "discarded" and folder not in bags(folder.parent)
    desk.press("x", "ask")
    assert desk.press("x", "undo") == f"{name} is restored"
    assert Bag(folder).whole and read_episode_card(folder).state == "stopped"


def test_a_full_disk_ends_the_episode_and_nothing_else(body, tmp_path):
    with recorder(recorded_rig(tmp_path), body.operator, body.supervisor.check) as (
        desk,
        supervisor,
    ):
        folder = desk.record(1.5)
        pid = supervisor.nodes[0].process.pid
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.prlimit(
            pid, resource.RLIMIT_FSIZE, (mcap_path(folder).stat().st_size + 20_000, before[1])
        )
        desk.until(lambda: desk.status.get("state") == "stopped", "it goes on")
        card = read_episode_card(folder)
        assert (card.state, card.verdict) == ("stopped", "red") and "File too large" in card.why
        assert Bag(folder).whole
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        again = desk.record(1.0)
        desk.operator.call(topics.RECORDER_STOP)
        assert again.name == "episode_000001" and Bag(again).whole
        assert not [line for line in read_episode_card(again).findings if "disk" in line]


def test_no_episode_begins_on_a_disk_that_is_nearly_full(body, tmp_path):
    rig = recorded_rig(tmp_path)
    full = replace(rig, recorder=RecorderConfig(folder=str(tmp_path), least_free_gb=1e9))
    with (
        recorder(full, body.operator) as (desk, _),
        pytest.raises(XlvlaError, match=r"recorder\.least_free_gb is 1e\+09"),
    ):
        desk.operator.call(topics.RECORDER_START)
    assert not list(tmp_path.rglob("episode_*"))


def test_a_killed_recorder_leaves_an_episode_that_the_next_one_makes_whole(body, tmp_path):
    rig = recorded_rig(tmp_path)
    with recorder(rig, body.operator) as (desk, supervisor):
        folder = desk.record(2.5)
        supervisor.nodes[0].kill(signal.SIGKILL)
        supervisor.nodes[0].process.wait()
        killed_ns = time.time_ns()
    assert read_episode_card(folder).state == "recording" and not Bag(folder).whole
    kept = list(Bag(folder).messages(raw=True))
    assert killed_ns - kept[-1].log_ns < 1.2e9
    with recorder(rig, body.operator) as (desk, _):
        desk.until(
            lambda: Bag(folder).whole and read_episode_card(folder).state == "stopped",
            "nobody repairs it",
        )
        assert len(list(Bag(folder).messages(raw=True))) == len(kept)
    card = read_episode_card(folder)
    assert "killed" in card.why and card.verdict in ("yellow", "red")
    assert card.duration_s > 0.5 and card.figures["/right/hand/joint_states"][
        "rate [Hz]"
    ] == pytest.approx(100.0, rel=0.1)


def test_a_simulation_that_dies_ends_the_episode_cleanly_and_the_verdict_says_it(tmp_path):
    rig = recorded_rig(tmp_path)
    with interruptible(), pytest.raises(NodeDied), Session(rig, domain=1 + DOMAIN % 100) as session:
        desk = Desk(session.operator, rig, session.supervisor.check)
        folder = desk.record(1.5)
        next(node for node in session.supervisor.nodes if node.spec.name == "sim").kill(
            signal.SIGKILL
        )
        desk.until(lambda: False, "the rig did not stop")
    card = read_episode_card(folder)
    assert Bag(folder).whole and (card.state, card.verdict) == ("stopped", "red")
    assert "red: node 'sim' was killed by SIGKILL, so the rig stopped" in card.findings


@pytest.fixture
def film(tmp_path) -> str:
    path = str(tmp_path / "film.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (160, 120))
    noise = np.random.default_rng(0)
    for _ in range(100):
        writer.write(noise.integers(0, 255, (120, 160, 3), np.uint8))
    writer.release()
    return path


def test_a_camera_that_dies_is_told_while_it_is_recorded_and_after(tmp_path, film):
    """The camera's process alone, as on a machine of its own."""
    rig = rig_file.with_choices(rig_file.load("bimanual_emulated"), policy="none")
    camera = replace(
        rig.cameras["front"],
        rate_hz=20.0,
        publish=(160, 120),
        device=DeviceConfig(address=film, driver="video"),
    )
    rig = replace(
        rig,
        cameras={"front": camera},
        recorder=RecorderConfig(folder=str(tmp_path), least_free_gb=1e-6),
    )
    domain = 1 + (DOMAIN + 1) % 100
    with (
        interruptible(),
        Operator(domain=domain) as operator,
        Supervisor(rig, graph.chosen(rig, only=["camera_front"]), domain=domain) as eye,
        recorder(rig, operator, domain=domain) as (desk, _),
    ):
        eye.wait_ready()
        seen = Reader(operator.node, topics.camera_info("front"))
        desk.until(seen.newest, "the camera shows nothing")
        folder = desk.record(2.0)
        assert not [line for line in desk.status["findings"] if "/cameras/front" in line]
        eye.nodes[0].kill(signal.SIGKILL)
        words = "/cameras/front/image_raw/compressed: fell silent"
        desk.until(
            lambda: any(words in line for line in desk.status["findings"]),
            "the silence is not told",
        )
        desk.until(
            lambda: any(word == "warn" and words in line for word, line in desk.cues),
            "there is no cue for it",
        )
        operator.call(topics.RECORDER_STOP)
    card = read_episode_card(folder)
    assert card.verdict == "red" and any(words in line for line in card.findings)
    assert Bag(folder).whole
