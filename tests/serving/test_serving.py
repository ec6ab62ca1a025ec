"""Our policies behind openpi's websocket, asked by openpi's own client and by strangers."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace

import numpy as np
import pytest
from servers import WEIGHER, Slow, executed, pictures, served, weigher
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.network import listening
from xlvla.policy import Observation
from xlvla_policy.openpi import wire
from xlvla_policy.openpi.metadata import every_joint
from xlvla_policy.openpi.server import MOST_CLIENTS
from xlvla_policy.openpi.session import Session

PROMPT = "Push the two tomato cans together."


@pytest.fixture(scope="module")
def rig():
    return rig_file.load("bimanual")


@pytest.fixture(scope="module")
def policy(rig):
    return weigher(rig)


@pytest.fixture(scope="module")
def port(rig, policy):
    with served(rig, policy) as port:
        yield port


def state_of(rig, seed=0):
    (row,) = every_joint(rig).theirs(executed(rig, 1, seed))
    return row


def direct(rig, policy, images, state, prompt=PROMPT):
    """The actions of the policy itself, for a robot that stands."""
    rows = np.tile(state, (policy.frames, 1))
    parts = Session(rig, policy)._by_part(rows)
    return every_joint(rig).theirs(policy.predict(Observation(0, images, prompt, parts)).positions)


def asked(port, *requests, **options):
    """What comes for these requests on one connection, metadata first."""
    address = f"ws://127.0.0.1:{port}"
    with connect(address, compression=None, proxy=None, **options) as connection:
        answers = [wire.unpacked(connection.recv())]
        for request in requests:
            connection.send(wire.packed(request))
            answers.append(wire.unpacked(connection.recv()))
        return answers


def real_client(port):
    module = pytest.importorskip(
        "openpi_client.websocket_client_policy", reason="pip install --no-deps openpi-client"
    )
    return module.WebsocketClientPolicy("127.0.0.1", port)


def test_the_real_client_gets_the_numbers_of_the_direct_call(rig, policy, port):
    client = real_client(port)
    for seed in range(3):
        images, state = pictures(rig, seed), state_of(rig, seed)
        request = {"images": images, "state": state, "prompt": PROMPT, "reset": True}
        actions = client.infer(request)["actions"]
        np.testing.assert_allclose(actions, direct(rig, policy, images, state), atol=1e-6)
    about = client.get_server_metadata()["xlvla"]
    assert about["joints"] == list(every_joint(rig).names)
    assert (about["frames"], about["rate_hz"]) == (policy.frames, policy.rate_hz)


def test_the_real_clients_broker_plays_a_chunk_row_by_row(rig, policy, port):
    pytest.importorskip("tree", reason="pip install dm-tree")
    client = real_client(port)
    from openpi_client.action_chunk_broker import ActionChunkBroker

    broker = ActionChunkBroker(client, policy.frames)
    images, state = pictures(rig), state_of(rig)
    rows = [
        broker.infer({"images": images, "state": state, "prompt": PROMPT})["actions"]
        for _ in range(8)
    ]
    np.testing.assert_allclose(rows, direct(rig, policy, images, state), atol=1e-6)


def test_pictures_may_come_with_channels_first_and_the_prompt_may_be_the_rigs(rig, policy, port):
    images, state = pictures(rig), state_of(rig)
    turned = {name: image.transpose(2, 0, 1) for name, image in images.items()}
    _, answer = asked(port, {"images": turned, "state": state})
    expected = direct(rig, policy, images, state, rig.policy.instruction)
    np.testing.assert_allclose(answer["actions"], expected, atol=1e-6)


def test_commands_that_a_client_tells_are_its_past(rig, policy, port):
    images, past = pictures(rig), executed(rig, policy.frames)
    rows = every_joint(rig).theirs(past)
    _, answer = asked(
        port, {"images": images, "state": rows[-1], "executed": rows, "prompt": PROMPT}
    )
    expected = policy.predict(Observation(0, images, PROMPT, past)).positions
    np.testing.assert_allclose(answer["actions"], every_joint(rig).theirs(expected), atol=1e-6)


def test_states_that_came_are_the_path_until_a_reset_or_a_pause(rig, policy):
    session = Session(rig, policy)
    second = 1_000_000_000
    seen = []
    for now_s, value, reset in [
        (0.0, 0.0, False),
        (0.2, 0.2, False),
        (0.2, 0.5, True),
        (9.0, 0.1, False),
    ]:
        state = np.full(len(every_joint(rig).names), value)
        request = {"state": state, "reset": reset}
        observation = session.observation(request, round(now_s * second))
        seen.append(observation.executed["left"]["arm"][:, 0])
    np.testing.assert_allclose(seen[0], np.zeros(8))
    # eight frames at 20 Hz, the last one now: 0.35 s ago there was nothing yet
    np.testing.assert_allclose(seen[1], [0, 0, 0, 0, 0.05, 0.1, 0.15, 0.2], atol=1e-9)
    np.testing.assert_allclose(seen[2], np.full(8, 0.5))
    np.testing.assert_allclose(seen[3], np.full(8, 0.1))


def test_chunks_that_were_sent_are_previous_until_another_prompt(rig, policy):
    session = Session(rig, policy)
    state = state_of(rig)
    counts = []
    for prompt in ("one", "one", "two"):
        session.answer(wire.packed({"state": state, "prompt": prompt}))
        observation = session.observation({"state": state, "prompt": prompt}, time.monotonic_ns())
        counts.append(len(observation.previous))
    assert counts == [1, 2, 1]


def test_a_slow_decision_ends_no_connection_and_health_is_told_meanwhile(rig, policy):
    """Pings of 0.2 s stand for the real client's 20 s: its connection ends after two without a
    pong.
    """
    slow = Slow(policy, 1.5)
    with served(rig, slow) as port:
        answers = []
        request = {"state": state_of(rig)}
        hurried = {"ping_interval": 0.2, "ping_timeout": 0.2}
        asks = threading.Thread(target=lambda: answers.extend(asked(port, request, **hurried)))
        asks.start()
        while not slow.asked:
            time.sleep(0.01)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30) as reply:
            assert (reply.status, reply.read()) == (200, b"OK\n")
        assert not answers, "health was told only after the decision"
        asks.join()
    assert answers[1]["policy_timing"]["infer_ms"] >= 1500


REFUSED = {
    "state is missing": ({}, "a request needs `state` [38] rad"),
    "state of another robot": ({"state": np.zeros(7)}, "`state` must be [38], is [7]"),
    "state of nobody": ({"state": np.full(38, np.nan)}, "`state` is not finite for left_arm_joint1"),
    "state of words": ({"state": ["a"] * 38}, "`state` holds what are no numbers"),
    "unknown camera": (
        {"state": np.zeros(38), "images": {"fornt": np.zeros((2, 2, 3), np.uint8)}},
        "unknown camera 'fornt': known are front; did you mean 'front'?",
    ),
    "grey picture": (
        {"state": np.zeros(38), "images": {"front": np.zeros((2, 2), np.uint8)}},
        "the picture of camera 'front' must be RGB uint8 [H, W, 3], is ndarray",
    ),
    "picture of floats": (
        {"state": np.zeros(38), "images": {"front": np.zeros((2, 2, 3))}},
        "is float64 [2, 2, 3]",
    ),
    "a key of another robot": ({"observation/state": np.zeros(38)}, "unknown key of a request"),
    "a prompt that is none": ({"state": np.zeros(38), "prompt": 3}, "`prompt` must be a text"),
    "a short past": (
        {"state": np.zeros(38), "executed": np.zeros((2, 38))},
        "`executed` must be [8, 38], is [2, 38]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_that_is_no_good_gets_one_line_and_the_end(rig, port, name):
    request, words = REFUSED[name]
    with connect(f"ws://127.0.0.1:{port}", proxy=None) as connection:
        connection.recv()
        connection.send(wire.packed(request))
        line = connection.recv()
        assert isinstance(line, str) and words in line and "\n" not in line
        with pytest.raises(ConnectionClosedError) as caught:
            connection.recv()
    assert caught.value.rcvd.code == 1011


def test_the_real_client_raises_what_was_wrong_and_others_are_served_on(rig, port):
    client = real_client(port)
    with pytest.raises(RuntimeError, match=r"`state` must be \[38\], is \[7\]"):
        client.infer({"state": np.zeros(7)})
    asked(port, {"state": state_of(rig)})


def test_a_fault_of_the_policy_is_told_without_its_inside(rig, policy, capfd):
    class Broken(Slow):
        def predict(self, observation):
            raise KeyError("/home/somebody/secret")

    with (
        served(rig, Broken(policy, 0)) as port,
        connect(f"ws://127.0.0.1:{port}", proxy=None) as connection,
    ):
        connection.recv()
        connection.send(wire.packed({"state": state_of(rig)}))
        assert connection.recv() == "KeyError in the policy; the server's terminal says where"
    assert "Traceback" in capfd.readouterr().err


def test_bytes_of_strangers_get_a_line(port):
    with connect(f"ws://127.0.0.1:{port}", proxy=None) as connection:
        connection.recv()
        connection.send(b"\xdd\xff\xff\xff\xff")
        assert "no message of openpi" in connection.recv()


def test_too_large_a_request_is_refused_before_it_is_read(port):
    with connect(f"ws://127.0.0.1:{port}", proxy=None) as connection:
        connection.recv()
        with pytest.raises(ConnectionClosedError) as caught:
            connection.send(bytes(wire.REQUEST_BYTES + 1))
            connection.recv()
    assert caught.value.rcvd.code == 1009


def test_a_page_of_a_browser_may_not_ask(port):
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://127.0.0.1:{port}", origin="http://127.0.0.1:3000", proxy=None)


def test_only_so_many_clients_are_served_and_the_next_when_one_has_gone(rig, policy):
    said = []
    with served(rig, policy, said) as port:
        address = f"ws://127.0.0.1:{port}"
        clients = [connect(address, proxy=None) for _ in range(MOST_CLIENTS)]
        for client in clients:
            client.recv()
        with pytest.raises(InvalidStatus, match="503"):
            connect(address, proxy=None)
        clients.pop().close()
        while not any("gone" in line for line in said):
            time.sleep(0.01)
        clients.append(connect(address, proxy=None))
        for client in clients:
            client.close()


def test_who_knocks_and_goes_leaves_no_traceback(port, caplog):
    socket.create_connection(("127.0.0.1", port)).close()
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"\x16\x03\x01 no http at all\r\n\r\n")
        stranger.settimeout(30)
        while stranger.recv(1000):
            pass
    assert not caplog.records


def test_a_taken_port_is_one_line(port):
    with pytest.raises(
        XlvlaError, match=f"cannot be served at 127.0.0.1:{port}: Address already in use"
    ):
        listening("127.0.0.1", port, "policy", "another server there")


def test_what_is_served_is_chosen_by_name_or_weights_and_plays_plainly(tmp_path, monkeypatch):
    from xlvla_cli.serve import chosen

    (tmp_path / "weigher.py").write_text(WEIGHER)
    monkeypatch.setenv("XLVLA_POLICIES", str(tmp_path))
    rig = rig_file.load("bimanual")
    guided = replace(rig, policy=replace(rig.policy, chunking="guided"))
    file = guided.save(tmp_path / "guided.yaml")
    found = chosen(str(file), "weigher", None, "xhand")
    assert (found.policy.type, found.policy.chunking) == ("weigher", "plain")
    assert found.hand("right").name == "xhand"
    weights = tmp_path / "mine.safetensors"
    weights.touch()
    found = chosen("bimanual", str(weights), None, None)
    assert (found.policy.type, found.policy.checkpoint) == ("xlvla", str(weights))
    with pytest.raises(XlvlaError, match=r"unknown policy 'wiegher'.*did you mean 'weigher'"):
        chosen("bimanual", "wiegher", None, None)


def test_the_command_serves_until_it_is_interrupted_and_a_taken_port_ends_it(tmp_path):
    (tmp_path / "weigher.py").write_text(WEIGHER)
    environment = {**os.environ, "XLVLA_POLICIES": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "xlvla", "serve", "weigher", "--port"]
    options = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
        "env": environment,
    }
    with subprocess.Popen([*command, "0"], **options) as process:
        line = process.stdout.readline()
        found = re.search(
            r"weigher for bimanual is at ws://127\.0\.0\.1:(\d+): 8 frames of 38 joints at 20 Hz",
            line,
        )
        assert found, line
        port = found[1]
        asked(port, {"state": np.zeros(38)})
        second = subprocess.run([*command, port], **options)
        assert (
            second.returncode == 2 and f"127.0.0.1:{port}: Address already in use" in second.stdout
        )
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(60) == 0 and rest.endswith("stopped\n") and "Traceback" not in rest
