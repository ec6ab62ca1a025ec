"""The robot's camera on the page of a headset: the newest picture with its age, never in the way of
the hands.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time

import cv2
import msgpack
import numpy as np
import pytest
from streams import until
from websockets.sync.client import connect

from xlvla import rig_file
from xlvla.errors import RigError
from xlvla_drivers import registry
from xlvla_drivers.teleop import webxr_frames as wire
from xlvla_drivers.teleop.webxr import LARGEST_PICTURE, Driver, Options
from xlvla_drivers.teleop.webxr_door import key as server_key

BOTH = ("left", "right")


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def uri_of(address):
    return f"ws://{address}/{server_key(int(address.split(':')[1]))}"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder for temporary files, empty."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def source(own):
    opened = Driver(free_address(), BOTH, Options(), None)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def page(source):
    """A page that has its scene."""
    with connect(uri_of(source.address)) as client:
        client.send(wire.event(wire.INIT, {}, 1))
        assert msgpack.unpackb(client.recv(timeout=10.0))["etype"] == "SET"
        yield client


def moved(where):
    """A HAND_MOVE whose wrists are at `where` m."""
    joints = np.tile(np.eye(4), (25, 1, 1))
    joints[:, 0, 3] = where
    columns = joints.transpose(0, 2, 1).ravel().tolist()
    return wire.event(wire.HAND_MOVE, {"left": columns, "right": columns}, 1)


def jpeg(size):
    """So many bytes that begin as a JPEG does."""
    return b"\xff\xd8\xff\xe0" + bytes(size - 4)


def test_a_picture_is_written_as_vuer_writes_it():
    event = msgpack.unpackb(wire.picture(jpeg(10), 4 / 3, 7))
    assert event == {
        "ts": 7,
        "etype": "UPSERT",
        "data": {
            "nodes": [
                {
                    "tag": "ImageBackground",
                    "key": "camera",
                    "src": jpeg(10),
                    "aspect": 4 / 3,
                    "height": 1,
                    "distanceToCamera": 2.0,
                    "interpolate": True,
                }
            ],
            "to": "bgChildren",
        },
    }


def test_a_page_is_shown_pictures_once_it_has_its_scene(source):
    assert not source.show(jpeg(100), 1.0)
    with connect(uri_of(source.address)) as client:
        client.send(moved(1.0))
        until(lambda: source.read(0.5))
        assert not source.show(jpeg(100), 1.0), "before its scene"
        client.send(wire.event(wire.INIT, {}, 1))
        assert msgpack.unpackb(client.recv(timeout=10.0))["etype"] == "SET"
        until(lambda: source.show(jpeg(100), 1.0))
        shown = msgpack.unpackb(client.recv(timeout=10.0))
        assert shown["data"]["nodes"][0]["src"] == jpeg(100)
        assert not source.show(jpeg(LARGEST_PICTURE + 1), 1.0)
    until(lambda: not source.show(jpeg(100), 1.0))


def test_a_page_that_takes_no_pictures_still_moves_the_robot(own):
    source = Driver(free_address(), BOTH, Options(), None)
    source.open()
    # It reads nothing: all that is sent stays on its way.
    deaf = connect(uri_of(source.address), max_queue=1)
    try:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.send(wire.event(wire.INIT, {}, 1))
        sent = []
        ended = threading.Event()

        def flood():
            while not ended.wait(0.002):
                sent.append(source.show(jpeg(LARGEST_PICTURE), 1.0))

        shows = threading.Thread(target=flood, daemon=True)
        shows.start()
        until(lambda: any(sent))
        before = len(sent)
        until(lambda: sent[before:].count(False) > 100)
        for where in range(1, 30):
            deaf.send(moved(0.01 * where))
            sample = until(lambda: source.read(0.5))
            assert sample.sides["left"].T_world_wrist is not None
        ended.set()
        shows.join(timeout=10.0)
        assert not shows.is_alive(), "who shows waits for who does not look"
    finally:
        source.close()
        deaf.socket.close()


def faults(source, camera):
    document = rig_file.load("teleop_webxr").document()
    document["teleop"] |= {"source": source, "camera": camera, "options": {}, "address": ""}
    try:
        return registry.faults(rig_file.from_document(document, "test"))
    except RigError as error:
        return error.faults


def test_a_rig_shows_a_camera_that_it_has_on_a_device_that_can():
    assert not faults("webxr", "front")
    (line,) = faults("webxr", "frnt")
    assert "teleop.camera: unknown camera 'frnt'" in line and "did you mean 'front'" in line
    (line,) = faults("keyboard", "front")
    assert "the source 'keyboard' shows the operator nothing" in line


def frame(shown):
    """The picture of an event, RGB."""
    source = msgpack.unpackb(shown)["data"]["nodes"][0]["src"]
    return cv2.imdecode(np.frombuffer(source, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def is_framed(rgb):
    """In red."""
    edge = rgb[:, 0]
    return (edge[:, 0] - edge[:, 1] > 100).mean() > 0.9


def test_the_newest_picture_comes_with_its_age_and_an_old_one_says_so(own):
    pytest.importorskip("rclpy")
    import rclpy

    from xlvla.ros import convert, participant, topics
    from xlvla.ros.clock import Clock
    from xlvla.ros.node import RigNode
    from xlvla.ros.wiring import wiring
    from xlvla_drivers.ros.teleop_loop import TeleopLoop

    address = free_address()
    document = rig_file.load("teleop_webxr").document()
    # The key is made before the server looks for it.
    uri = uri_of(address)
    document["teleop"] |= {"camera": "front", "address": address}
    rig = rig_file.from_document(document, "test")
    assert topics.image("front") in wiring(rig)["teleop"].subscribes
    participant.join(domain=int(os.environ["ROS_DOMAIN_ID"]))
    node = RigNode("teleop")
    node.rig = rig
    node.clock = Clock()
    stop = threading.Event()
    loop = TeleopLoop(node, rig.teleop)
    follows = threading.Thread(target=loop.run, args=(stop,))
    topic = topics.image("front")
    camera = node.create_publisher(topic.type, topic.name, topic.qos)
    green = np.zeros((240, 320, 3), np.uint8)
    green[..., 1] = 160
    try:
        follows.start()

        def reached():
            try:
                return connect(uri)
            except OSError:
                return None

        with until(reached) as client:
            client.send(wire.event(wire.INIT, {}, 1))
            client.recv(timeout=10.0)

            def young():
                """A picture that is not old, once there is one."""
                camera.publish(convert.image(green, time.time_ns(), "front"))
                try:
                    rgb = frame(client.recv(timeout=0.3))
                except TimeoutError:
                    return []
                return [] if is_framed(rgb) else [rgb]

            (rgb,) = until(young)
            assert rgb.shape == (240, 320, 3) and abs(rgb[200, 300] - (0, 160, 0)).max() < 20
            assert (rgb[:30].min(axis=-1) > 150).any(), "no age is written on it"
            # The camera is silent from here on: what is shown tells so by itself.
            until(lambda: is_framed(frame(client.recv(timeout=10.0))))
            first, second = (frame(client.recv(timeout=10.0)) for _ in range(2))
            assert abs(first[:30] - second[:30]).max() > 100, "its age stands still"
    finally:
        stop.set()
        follows.join()
        node.destroy_node()
        rclpy.shutdown()
