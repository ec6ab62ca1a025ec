"""What `xlvla bench faults --graph` says: it must be able to find fault, and find none where none
is.
"""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

from xlvla.errors import XlvlaError
from xlvla.ros.convert import SECOND
from xlvla.ros.neighbours import UNNAMED, full_name
from xlvla_cli.bench.ros import graph_faults
from xlvla_cli.bench.ros.graph_faults import Log, after, not_reported, tried


def test_leftovers_are_named_and_a_healthy_folder_is_not_blamed():
    outcome = graph_faults.leftovers()
    assert not outcome.wrong and outcome.line == "fastrtps_port7000"


def test_a_rig_that_fails_over_a_fault_is_an_outcome_and_not_the_end():
    def fails():
        raise XlvlaError("node 'motion' ended with exit code 1")

    outcome = tried("a fault", fails)
    assert outcome.wrong and "motion" in outcome.line


def test_what_nodes_print_is_passed_on_and_found_again_by_who_said_it_and_when():
    heard = []
    log = Log(lambda name, line: heard.append((name, line)))
    log("motion", "WARN: second writer of commands: /stranger")
    word = log.first_line("motion", "/stranger", 0)
    assert heard == [("motion", "WARN: second writer of commands: /stranger")]
    assert word is not None and word.line == "second writer of commands: /stranger"
    assert log.first_line("left_arm", "/stranger", 0) is None
    assert log.first_line("motion", "/stranger", word.sent_ns + 1) is None
    assert after(word, word.sent_ns - SECOND // 2) == pytest.approx(0.5)


def test_what_is_said_late_or_not_at_all_is_wrong():
    assert not_reported(0.4, 0.8) == ""
    assert "more than 0.8 s" in not_reported(0.9, 0.8)
    assert "nothing" in not_reported(None, 0.8)


def test_a_publisher_whose_node_discovery_does_not_know_yet_is_called_so():
    assert full_name("_NODE_NAME_UNKNOWN_", "_NODE_NAMESPACE_UNKNOWN_") == UNNAMED
    assert full_name("stranger", "/lab/") == "/lab/stranger"
