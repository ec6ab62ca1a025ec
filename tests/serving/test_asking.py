"""A policy server drives our robot: what it says becomes chunks, and what is no good is one line."""

import os
import signal
import socket
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from servers import TheirServer, executed, pictures, served, weigher

from xlvla import catalog, rig_file
from xlvla.codec import Codec
from xlvla.errors import RigError, XlvlaError
from xlvla.policy import Observation
from xlvla_policy.openpi import connection, wire

PROMPT = "Push the two tomato cans together."
FRAMES = 8
JOINTS = 38


def rig_of(port, policy="openpi", **server):
    document = rig_file.load("bimanual").document()
    server = {"address": f"ws://127.0.0.1:{port}", "frames": FRAMES, "rate_hz": 20.0, **server}
    document["policy"] = {"type": policy, "server": server}
    return rig_file.from_document(document, "a rig")


def asking(port, **server):
    rig = rig_of(port, **server)
    return catalog.policy("openpi")(rig)


def observation(rig, seed=0, stamp_ns=7):
    commands = executed(rig, FRAMES, seed)
    measured = {
        side: {part: rows[-1] + 0.01 for part, rows in parts.items()}
        for side, parts in commands.items()
    }
    return Observation(stamp_ns, pictures(rig, seed), PROMPT, commands, measured=measured)


def still(request):
    """A chunk of a robot that stays where it is measured."""
    return {"actions": np.tile(request["state"], (FRAMES, 1)), "policy_timing": {"infer_ms": 1.0}}


@pytest.fixture(autouse=True)
def asked_again_at_once(monkeypatch):
    monkeypatch.setattr(connection, "RETRY_S", 0.0)


def test_a_servers_actions_are_the_chunk(tmp_path):
    with TheirServer(still).running() as server:
        policy = asking(server.port)
        seen = observation(policy.rig)
        chunk = policy.predict(seen)
        policy.close()
    (request,) = server.requests
    np.testing.assert_array_equal(request["images"]["front"], seen.images["front"])
    assert request["prompt"] == PROMPT and set(request) == {"images", "state", "prompt"}
    assert (chunk.stamp_ns, chunk.rate_hz, policy.frames, policy.rate_hz) == (7, 20.0, FRAMES, 20.0)
    for side, part in policy.rig.parts:
        lower, upper = policy.rig.limits(side, part)
        expected = np.clip(seen.measured[side][part], lower, upper)
        np.testing.assert_allclose(
            chunk.positions[side][part], np.tile(expected, (FRAMES, 1)), atol=1e-6
        )


def test_a_chunk_packed_by_the_real_package_is_read():
    theirs = pytest.importorskip(
        "openpi_client.msgpack_numpy", reason="pip install --no-deps openpi-client"
    )
    with TheirServer(still, packed=theirs.packb).running() as server:
        policy = asking(server.port)
        chunk = policy.predict(observation(policy.rig))
        policy.close()
    assert chunk.positions["left"]["arm"].shape == (FRAMES, 7)


def test_our_policy_asked_over_the_wire_decides_as_if_it_were_here():
    rig = rig_file.load("bimanual")
    policy = weigher(rig)
    with served(rig, policy) as port:
        asks = asking(port, executed="executed")
        for seed in range(3):
            seen = observation(rig, seed)
            here, there = policy.predict(seen).positions, asks.predict(seen).positions
            for side, part in rig.parts:
                np.testing.assert_allclose(there[side][part], here[side][part], atol=1e-6)
        asks.close()


def test_the_map_names_pictures_vectors_units_and_joints():
    def answer(request):
        assert request["images"]["cam_high"].shape == (3, 240, 320)
        assert request["task"] == PROMPT
        arm, finger = request["observation/arm"], request["observation/grip"]
        assert arm.dtype == np.float32 and arm.shape == (7,) and finger.shape == (2,)
        row = np.concatenate([arm, [99.0], finger[:1]])
        return {"out": {"chunk": np.tile(row, (FRAMES, 1)).tolist()}}

    finger = "right_hand_index_joint1"
    shape = {
        "images": {"images>cam_high": "front"},
        "layout": "chw",
        "state": {"observation/arm": ["right_arm"], "observation/grip": [finger, "none"]},
        "prompt": "task",
        "chunk": "out>chunk",
        "actions": ["right_arm", "none", finger],
        "degrees": True,
        "range": {finger: (1.0, 0.0)},
    }
    with TheirServer(answer).running() as server:
        policy = asking(server.port, **shape)
        rig = policy.rig
        seen = observation(rig)
        chunk = policy.predict(seen)
        policy.close()
    (request,) = server.requests
    measured = seen.measured["right"]
    np.testing.assert_allclose(request["observation/arm"], np.degrees(measured["arm"]), rtol=1e-6)
    lower, upper = rig.limits("right", "hand")
    index = rig.joint_names("right", "hand").index(finger)
    share = (measured["hand"][index] - lower[index]) / (upper[index] - lower[index])
    np.testing.assert_allclose(request["observation/grip"], [1 - share, 0], atol=1e-6)
    # the other side is not driven, and fingers that are not named stay where they are commanded
    assert set(chunk.positions) == {"right"}
    expected = np.tile(seen.executed["right"]["hand"][-1], (FRAMES, 1))
    expected[:, index] = np.clip(measured["hand"][index], lower[index], upper[index])
    np.testing.assert_allclose(chunk.positions["right"]["hand"], expected, atol=1e-6)
    lower, upper = rig.limits("right", "arm")
    wanted = np.tile(np.clip(measured["arm"], lower, upper), (FRAMES, 1))
    np.testing.assert_allclose(chunk.positions["right"]["arm"], wanted, atol=1e-6)


def test_latents_are_decoded_for_the_hand_of_the_rig():
    codec = Codec.load()
    rig = rig_file.load("bimanual")
    hand = rig.hand("left").name
    lower, upper = rig.limits("left", "hand")
    latents = codec.encode(hand, "left", np.linspace(lower, upper, FRAMES))
    arm = np.zeros((FRAMES, 7))
    arm[:] = [rig.home("left")[name] for name in rig.joint_names("left", "arm")]
    answer = {"actions": np.concatenate([arm, latents], axis=1)}
    with TheirServer(lambda request: answer).running() as server:
        policy = asking(server.port, actions=["left_arm", "left_latent"])
        chunk = policy.predict(observation(rig))
        policy.close()
    np.testing.assert_allclose(chunk.latents["left"], latents)
    np.testing.assert_allclose(chunk.positions["left"]["hand"], codec.decode(hand, "left", latents))


def changed(**entries):
    def answer(request):
        actions = still(request)["actions"].copy()
        for key, value in entries.items():
            row, column = map(int, key[1:].split("_"))
            actions[row, column] = value
        return {"actions": actions}

    return answer


LIES = {
    "another horizon": (lambda r: {"actions": still(r)["actions"][:5]}, "has 5 frames, not 8: see policy.server.frames"),
    "another robot": (lambda r: {"actions": np.zeros((FRAMES, 14))}, "shape [8, 14], not [8, 38]"),
    "one row": (lambda r: {"actions": np.zeros(JOINTS)}, "shape [38], not [8, 38]"),
    "batches": (lambda r: {"actions": np.zeros((1, FRAMES, JOINTS))}, "shape [1, 8, 38]"),
    "no number": (changed(_3_7=np.nan), "is not finite for left_hand_thumb_bend_joint"),
    "no end": (changed(_0_0=np.inf), "is not finite for left_arm_joint1"),
    "degrees": (changed(_2_1=90.0), "has left_arm_joint2"),
    "nothing": (lambda r: {}, "has no 'actions' but nothing"),
    "another key": (lambda r: {"action": np.zeros((FRAMES, JOINTS))}, "has no 'actions' but action"),
    "words": (lambda r: {"actions": [["a"] * JOINTS] * FRAMES}, "'actions' holds what are no numbers"),
    "uneven rows": (lambda r: {"actions": [[1.0], [1.0, 2.0]]}, "'actions' holds what are no numbers"),
    "a traceback": (lambda r: ["Traceback:\n  line 1\nKeyError: 'endpoint'"], "failed: KeyError: 'endpoint'"),
    "no msgpack": (lambda r: [b"\xdd\xff\xff\xff\xff"], "are no message of openpi"),
    "too large": (lambda r: [bytes(wire.ANSWER_BYTES + 1)], "ended the connection"),
    "it hangs up": (lambda r: None, "ended the connection"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_one_line_and_the_next_answer_is_a_chunk_again(name):
    lie, words = LIES[name]
    answers = [lie, still]
    with TheirServer(lambda request: answers.pop(0)(request)).running() as server:
        policy = asking(server.port)
        with pytest.raises(XlvlaError) as caught:
            policy.predict(observation(policy.rig))
        assert words in str(caught.value) and "\n" not in str(caught.value)
        assert str(server.port) in str(caught.value)
        policy.predict(observation(policy.rig))
        policy.close()


def test_an_answer_that_comes_late_is_never_played():
    """Every answer names its request in a joint; the second comes when nobody waits any more."""
    told = []
    given_up = threading.Event()

    def answer(request):
        told.append(len(told))
        if told[-1] == 1:
            given_up.wait(60)
        actions = still(request)["actions"].copy()
        actions[:, 0] = told[-1] / 100
        return {"actions": actions}

    with TheirServer(answer).running() as server:
        policy = asking(server.port, timeout_s=2.0)

        def first_joint():
            chunk = policy.predict(observation(policy.rig))
            return chunk.positions["left"]["arm"][0, 0]

        assert first_joint() == 0.0
        with pytest.raises(
            XlvlaError, match=r"gave no answer within 2 s \(policy.server.timeout_s\)"
        ):
            first_joint()
        given_up.set()
        np.testing.assert_allclose([first_joint() for _ in range(3)], [0.02, 0.03, 0.04])
        policy.close()


def test_two_answers_for_one_request_end_the_connection():
    def answer(request):
        frame = wire.packed(still(request))
        return [frame, frame]

    with TheirServer(answer).running() as server:
        policy = asking(server.port)
        policy.predict(observation(policy.rig))
        time.sleep(0.3)
        with pytest.raises(XlvlaError, match="sent more answers than it was asked for"):
            policy.predict(observation(policy.rig))
        policy.predict(observation(policy.rig))
        assert server.connections == 2
        policy.close()


def test_an_interruption_ends_the_connection():
    """Ctrl-C while it waits: the answer that then comes belongs to nobody."""
    asked = []

    def answer(request):
        asked.append(request)
        if len(asked) == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.3)
        return still(request)

    def interrupt(number, frame):
        raise KeyboardInterrupt

    with TheirServer(answer).running() as server:
        policy = asking(server.port, timeout_s=60.0)
        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            with pytest.raises(KeyboardInterrupt):
                policy.predict(observation(policy.rig))
        finally:
            signal.signal(signal.SIGUSR1, before)
        policy.predict(observation(policy.rig))
        assert server.connections == 2
        policy.close()


def test_a_server_that_reads_nothing_holds_nobody():
    """Its buffers are full, and sending would wait for ever."""

    class Deaf(TheirServer):
        async def _handle(self, connection):
            await connection.send(wire.packed({}))
            was_deaf.append(given_up.wait(30))

    given_up = threading.Event()
    was_deaf = []
    with Deaf(still).running() as server:
        asks = connection.Connection(f"ws://127.0.0.1:{server.port}", timeout_s=2.0)
        try:
            with pytest.raises(XlvlaError, match="gave no answer within 2 s"):
                asks.ask({"picture": np.zeros(30 << 20, np.uint8)})
        finally:
            given_up.set()
    assert was_deaf == [True], "it waited until the server was done"


def test_a_server_that_answers_no_handshake_holds_nobody():
    with socket.create_server(("127.0.0.1", 0)) as place:
        policy = asking(place.getsockname()[1], timeout_s=0.3)
        began = time.monotonic()
        with pytest.raises(XlvlaError, match="cannot be reached: timed out"):
            policy.predict(observation(policy.rig))
        assert time.monotonic() - began < 10


def test_a_killed_server_is_a_line_until_it_is_back(monkeypatch):
    monkeypatch.setattr(connection, "RETRY_S", 0.3)
    server = TheirServer(still)
    with server.running():
        policy = asking(server.port)
        policy.predict(observation(policy.rig))
    lines = []
    for _ in range(3):
        with pytest.raises(XlvlaError) as caught:
            policy.predict(observation(policy.rig))
        lines.append(str(caught.value))
    assert f"ws://127.0.0.1:{server.port}" in lines[0]
    with server.running():
        time.sleep(0.35)
        policy.predict(observation(policy.rig))
        policy.close()
    assert server.connections == 2


def test_nobody_there_is_asked_at_most_once_a_while(monkeypatch):
    monkeypatch.setattr(connection, "RETRY_S", 60.0)
    calls = []
    real = connection.connect
    monkeypatch.setattr(connection, "connect", lambda *a, **k: (calls.append(1), real(*a, **k))[1])
    policy = asking(1)
    for _ in range(5):
        with pytest.raises(XlvlaError, match=r"ws://127\.0\.0\.1:1 cannot be reached: .*refused"):
            policy.predict(observation(policy.rig))
    assert len(calls) == 1


def test_a_server_of_ours_that_decides_for_others_is_refused_before_it_is_asked():
    rig = rig_file.load("bimanual")
    with served(rig, weigher(rig)) as port:
        for words, server in {
            "says its frames are 8, not 50": {"frames": 50},
            "says its rate_hz are 20.0, not 10.0": {"rate_hz": 10.0},
            "says its joints are": {"actions": ["right_arm", "left_arm"]},
        }.items():
            policy = asking(port, **server)
            with pytest.raises(XlvlaError, match=words):
                policy.predict(observation(rig))


WRONG = {
    "policy.type: LeRobot's policy server is not spoken to: both ends unpickle what comes": {"type": "lerobot"},
    "policy.type: GR00T's policy server is not spoken to": {"type": "groot"},
    "policy.server: 'openpi' needs {address: ..., frames: ..., rate_hz: ...}": {"type": "openpi"},
    "policy.server: only the policy 'openpi' asks one": {"type": "xlvla", "server": {}},
    "policy.server: 'rate_hz' is missing": {"server": {"rate_hz": None}},
    "policy.chunking: a server decides without knowing the chunk before": {"chunking": "guided", "server": {}},
    "policy.checkpoint: the weights are the server's": {"checkpoint": "x", "server": {}},
    "policy.server.address: ws://host:port is wanted": {"server": {"address": "gpu:8000"}},
    "policy.server.images.a: unknown camera 'fornt'": {"server": {"images": {"a": "fornt"}}},
    "policy.server.range.knee: unknown joint 'knee'": {"server": {"range": {"knee": [0, 1]}}},
    "policy.server.range.left_arm_joint1: two different numbers": {"server": {"range": {"left_arm_joint1": [1, 1]}}},
    "policy.server.actions: unknown joint 'left_arms'": {"server": {"actions": ["left_arms"]}},
    "policy.server.actions: 'left_arm_joint1' stands there twice": {"server": {"actions": ["left_arm", "left_arm_joint1"]}},
    "policy.server.actions: left_latent and joints of that hand exclude each other": {"server": {"actions": ["left_hand", "left_latent"]}},
    "policy.server.actions: there is no joint of this rig among them": {"server": {"actions": ["none"]}},
    "policy.server.state.s: only actions may be latents": {"server": {"state": {"s": ["left_latent"]}}},
}  # fmt: skip


@pytest.mark.parametrize("words", WRONG)
def test_a_rig_with_a_wrong_server_is_told_so(words):
    document = rig_file.load("bimanual").document()
    policy = dict(WRONG[words])
    if "server" in policy:
        server = {"address": "ws://gpu:8000", "frames": 8, "rate_hz": 20.0, **policy["server"]}
        policy["server"] = {key: value for key, value in server.items() if value is not None}
    document["policy"] = {"type": "openpi", **policy}
    with pytest.raises(RigError) as caught:
        rig_file.from_document(document, "rig.yaml")
    assert words in caught.value.faults[0]
    assert not any("\n" in fault for fault in caught.value.faults)


def test_a_rig_with_a_server_is_stored_and_read_as_it_was(tmp_path):
    rig = rig_of(8000, actions=["left_arm", "left_latent"], range={}, degrees=True)
    assert rig_file.load(rig.save(tmp_path / "rig.yaml")) == rig


def test_another_policy_on_the_command_line_takes_the_servers_place():
    changed = rig_file.with_choices(rig_of(8000), policy="xlvla")
    assert (changed.policy.type, changed.policy.server) == ("xlvla", None)
    kept = rig_file.with_choices(rig_of(8000), policy="openpi", instruction="Wait.")
    assert kept.policy.server == rig_of(8000).policy.server


def test_a_robot_with_a_server_needs_no_weights_and_no_torch(monkeypatch):
    import importlib.util

    from xlvla.graph import chosen
    from xlvla_cli import check

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )
    rig = replace(rig_of(8000), sim=None)
    assert check.installation_faults(rig, chosen(rig_of(8000), only=["policy"])) == []
