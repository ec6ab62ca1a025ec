"""What is said on /motion/stop."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from xlvla.errors import XlvlaError
from xlvla.ros import forms, stop


def test_a_stop_and_its_end_come_back_as_they_were_said():
    for said in (stop.Stop(True, "operator", 5), stop.Stop(False, "motion", 7)):
        assert stop.decode(stop.encode(said).data) == said


@pytest.mark.parametrize("value", [True, 1, 0, None, "false", "yes", [], {}])
def test_whatever_is_not_false_itself_stops(value):
    assert stop.decode(json.dumps({"stopped": value})).stopped


def test_what_is_beside_the_word_may_be_missing_or_strange():
    assert stop.decode('{"stopped": false}') == stop.Stop(False)
    assert stop.decode('{"stopped": true, "by": 3, "stamp_ns": "now"}') == stop.Stop(True)
    assert (
        stop.decode(json.dumps({"stopped": True, "by": "a\nb" + "c" * 500})).by == "ab" + "c" * 77
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stop",
        "null",
        "[]",
        "3",
        '{"stop": true}',
        '{"stopped": tr',
        "[" * 900,
        '{"stopped": true}' + " " * 2000,
    ],
)
def test_what_says_neither_is_told_in_one_line(text):
    with pytest.raises(XlvlaError) as error:
        stop.decode(text)
    assert "\n" not in str(error.value)


def test_a_devices_status_tells_who_stopped_it():
    status = DiagnosticStatus(values=[KeyValue(key="other", value="x")])
    assert forms.stopped_by(status) is None
    stop.mark(status, None)
    assert forms.stopped_by(status) is None
    stop.mark(status, "operator", 17)
    assert forms.stopped_by(status) == "operator"
    device = forms.DEVICE.read(status)
    assert (device.stopped_by, device.stop_stamp_ns) == ("operator", 17)


@pytest.mark.parametrize("stamp", ["", "-3", "soon", "1.5", "9" * 5000])
def test_a_devices_stop_with_a_stamp_that_is_none_is_a_stop_all_the_same(stamp):
    status = DiagnosticStatus(
        values=[KeyValue(key=forms.STOPPED, value="x"), KeyValue(key=forms.STOP_STAMP, value=stamp)]
    )
    device = forms.DEVICE.read(status)
    assert (device.stopped_by, device.stop_stamp_ns) == ("x", 0)
