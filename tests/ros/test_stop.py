"""What is said on /motion/stop, and in whose session a command is."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from xlvla.errors import XlvlaError
from xlvla.ros import command_session, forms, stop


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
    stop.mark(status, "operator")
    assert forms.stopped_by(status) == "operator" and len(status.values) == 2


def test_sessions_are_of_eight_hexadecimal_digits_and_no_two_alike():
    made = {command_session.new_session() for _ in range(100)}
    assert len(made) == 100 and all(len(session) == 8 and int(session, 16) >= 0 for session in made)


@pytest.mark.parametrize("reset_id", ["", "start", "episode 3", "a/b"])
@pytest.mark.parametrize("session", ["", "0123abcd"])
def test_session_and_reset_id_come_back_as_they_were_written(session, reset_id):
    assert command_session.decode(command_session.encode(session, reset_id)) == (session, reset_id)


def test_what_is_no_session_is_a_reset_id_as_before_there_were_sessions():
    for frame in ("episode 3", "world", "0123ABCD", "0123abc", "0123abcde/x", "/", "/0123abcd"):
        assert command_session.decode(frame) == ("", frame)
