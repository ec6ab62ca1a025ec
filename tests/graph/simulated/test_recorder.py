"""The recorder on the running graph: what it keeps, what it says of it, and a full disk."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mcap")
cv2 = pytest.importorskip("cv2")

from recording_desk import Desk, recorded_rig, recorder
from rig_bench import Bench
from rosbags.highlevel import AnyReader

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.ros import topics
from xlvla.ros.clock import SimClock
from xlvla.run import Supervisor
from xlvla_cli.ros.session import Session
from xlvla_data.bag.card import read_episode_card
from xlvla_data.bag.layout import mcap_path
from xlvla_data.bag.reader import Bag, bags


@pytest.fixture(scope="module")
def body(bench: Bench) -> Session:
    """The running rig, which has no recorder."""
    bench.begin()
    return bench.session


@pytest.fixture(scope="module")
def recording(body, tmp_path_factory) -> Iterator[tuple[Desk, Supervisor]]:
    """The recorder that these tests share; none of them leaves an episode that is being recorded."""
    rig = recorded_rig(tmp_path_factory.mktemp("recordings"))
    with recorder(rig, body.operator, body.supervisor.check) as (desk, supervisor):
        yield desk, supervisor


@pytest.fixture
def desk(recording) -> Desk:
    return recording[0]


def test_services_refuse_what_makes_no_sense_in_one_line(desk):
    operator = desk.operator
    with pytest.raises(XlvlaError, match="nothing is being recorded"):
        operator.call(topics.RECORDER_STOP)
    operator.call(topics.RECORDER_START)
    with pytest.raises(XlvlaError, match=r"episode_\d{6} is being recorded already"):
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
    seed = body.operator.reset()["seed"]
    body.operator.instruct("Stack the cans.")
    desk.until(
        lambda: desk.status.get("instruction") == "Stack the cans.", "the sentence does not arrive"
    )
    folder = desk.record(2.5, clock)
    assert f"{folder.name} ended" in body.operator.call(topics.RECORDER_STOP)
    bag = Bag(folder)
    card = read_episode_card(folder)
    assert bag.whole and card.state == "stopped"
    assert (card.task, card.instruction, card.simulated, card.seed) == (
        "push_cans",
        "Stack the cans.",
        True,
        seed,
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


def test_a_full_disk_ends_the_episode_and_nothing_else(recording):
    desk, supervisor = recording
    folder = desk.record(1.5)
    pid = supervisor.nodes[0].process.pid
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    least = mcap_path(folder).stat().st_size + 20_000
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (least, before[1]))
    try:
        desk.until(lambda: desk.status.get("state") == "stopped", "it goes on")
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    card = read_episode_card(folder)
    assert (card.state, card.verdict) == ("stopped", "red") and "File too large" in card.why
    assert Bag(folder).whole
    again = desk.record(1.0)
    desk.operator.call(topics.RECORDER_STOP)
    assert again.name > folder.name and Bag(again).whole
    assert not [line for line in read_episode_card(again).findings if "disk" in line]
