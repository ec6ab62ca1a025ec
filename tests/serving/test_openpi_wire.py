"""Messages of openpi's websocket: the same bytes as its own client's, and nothing that harms."""

import msgpack
import numpy as np
import pytest

from xlvla.errors import XlvlaError
from xlvla_policy.openpi import wire

MESSAGE = {
    "state": np.arange(3, dtype=np.int16),
    "images": {"front": np.zeros((2, 4, 3), np.uint8)},
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "nothing": np.zeros((0, 3), np.float32),
    "point": np.array(2.5),
    "number": np.float32(0.25),
    "truth": np.array([True, False]),
    "prompt": "Wait.",
    "rows": [[1, 2.0], [3, 4]],
}


def same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype and one.shape == other.shape
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other


def test_a_message_comes_back_as_it_was():
    same(wire.unpacked(wire.packed(MESSAGE)), MESSAGE)


def test_the_real_clients_bytes_are_ours_and_each_reads_the_other():
    theirs = pytest.importorskip(
        "openpi_client.msgpack_numpy", reason="pip install --no-deps openpi-client"
    )
    assert wire.packed(MESSAGE) == theirs.packb(MESSAGE)
    same(wire.unpacked(theirs.packb(MESSAGE)), MESSAGE)
    same(theirs.unpackb(wire.packed(MESSAGE)), MESSAGE)


def array(**changed):
    entries = {"__ndarray__": True, "data": bytes(8), "dtype": "<f4", "shape": [2], **changed}
    return {"actions": {key.encode(): value for key, value in entries.items()}}


STRANGE = {
    "an array of objects": (array(dtype="|O"), "dtype"),
    "an array of records": (array(dtype="|V8"), "dtype"),
    "a dtype with a comma": (array(dtype="<f4,<f4"), "dtype"),
    "a dtype that is none": (array(dtype=7), "dtype"),
    "too few bytes": (array(shape=[3]), "bytes are not those of"),
    "a shape of exabytes": (array(shape=[2**40, 2**40]), "bytes are not those of"),
    "a shape that wraps around": (array(shape=[2**63, 2]), "bytes are not those of"),
    "a negative shape": (array(shape=[-2, -1]), "whole numbers"),
    "a shape of halves": (array(shape=[0.5, 4]), "whole numbers"),
    "a shape of many axes": (array(shape=[1] * 40 + [2]), "shape"),
    "no shape": ({"a": {b"__ndarray__": True, b"data": b"", b"dtype": "<f4"}}, "shape"),
    "text for bytes": (array(data="12345678"), "bytes"),
    "a scalar that is text": (
        {"a": {b"__npgeneric__": True, b"data": "x", b"dtype": "<f4"}},
        "number",
    ),
    "a list of thousands": ({"a": [0] * 5000}, "4096"),
    "thousands of maps": ({"a": [[{}] * 100] * 100}, "1024 lists"),
    "a map whose keys are numbers": ({1: 2}, "not allowed"),
    "no map": ([1, 2], "a message is a map"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_message_is_refused_in_one_line(name):
    message, words = STRANGE[name]
    with pytest.raises(XlvlaError, match=words) as caught:
        wire.unpacked(msgpack.packb(message))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x81",
        b"\x91" * 5000,
        b"\xdd\xff\xff\xff\xff",
        b"\xc7\xff\x01" + bytes(255),
        "text",
        b"\xa1\xff",
    ],
)
def test_bytes_that_are_no_msgpack_are_refused_in_one_line(frame):
    with pytest.raises(XlvlaError, match="message") as caught:
        wire.unpacked(frame)
    assert "\n" not in str(caught.value)


def test_arrays_of_objects_are_not_sent_either():
    with pytest.raises(ValueError, match="dtype"):
        wire.packed({"a": np.array([None])})
