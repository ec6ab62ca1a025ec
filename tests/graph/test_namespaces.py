"""Rigs in namespaces: two of them on one domain, which hear nothing of each other."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

rclpy = pytest.importorskip("rclpy")

from lifecycle_msgs.srv import GetState
from processes import until
from rcl_interfaces.srv import GetParameters, ListParameters
from rosgraph_msgs.msg import Clock

from xlvla import graph, rig_file
from xlvla.errors import XlvlaError
from xlvla.ros import convert, neighbours, participant, statuses, topics
from xlvla.ros.reader import Reader
from xlvla.run import NodeDied, Supervisor, interruptible, own_domain
from xlvla_cli import orders
from xlvla_cli.ros.operator import Operator
from xlvla_cli.ros.session import Session
from xlvla_data.bag.reader import Bag

app = typer.Typer()
orders.register(app)

OF_THE_DOMAIN = {"/rosout", "/parameter_events"}
PLACES = ("cell", "/lab/second")


def body(namespace, **more):
    rig = rig_file.with_choices(rig_file.load("bimanual"), policy="none", namespace=namespace)
    return replace(rig, **more)


def ask(operator, name, kind, **fields):
    """The answer of any service, by its name in the operator's namespace."""
    return operator.ask(operator.prepare(topics.Service(name, kind)), kind.Request(**fields))


@pytest.fixture(scope="module")
def two_motions():
    """The motion of two rigs, in namespaces of one domain, and an operator of each."""
    with interruptible():
        rigs = [body(place) for place in PLACES]
        started = [
            Supervisor(rig, graph.chosen(rig, ["motion"]), domain=own_domain()) for rig in rigs
        ]
        operators = [Operator(domain=own_domain(), namespace=place) for place in PLACES]
        with started[0] as first, started[1] as second, operators[0], operators[1]:
            first.wait_ready()
            second.wait_ready()
            yield operators


def test_nothing_of_a_rig_is_outside_of_its_namespace(two_motions):
    node = two_motions[0].node
    there = [neighbours.full_name("motion", f"/{place.strip('/')}") for place in PLACES]
    until(lambda: set(there) <= set(neighbours.present(node)), "motion is not where it belongs")
    names = {name for name, _ in node.get_topic_names_and_types()}
    names |= {name for name, _ in node.get_service_names_and_types()}
    outside = [name for name in names - OF_THE_DOMAIN if not name.startswith(("/cell/", "/lab/"))]
    assert outside == []
    assert "/lab/second/left/arm/command" in names


def test_parameters_and_state_are_asked_for_in_the_namespace(two_motions):
    for operator in two_motions:
        names = ask(operator, "/motion/list_parameters", ListParameters).result.names
        assert {"rig", "part", "autostart", "use_sim_time"} <= set(names)
        values = ask(operator, "/motion/get_parameters", GetParameters, names=["use_sim_time"])
        assert values.values[0].bool_value is True
        assert ask(operator, "/motion/get_state", GetState).current_state.label == "active"


def test_a_stop_of_one_rig_stops_no_other(two_motions):
    stopped, other = two_motions
    ticking = stopped.node.create_publisher(Clock, "clock", topics.CLOCK.qos)
    ticking_too = other.node.create_publisher(Clock, "clock", topics.CLOCK.qos)
    seen = {}
    readers = [Reader(one.node, topics.MOTION_STATUS, statuses.MOTION) for one in two_motions]
    ns = 0

    def states():
        """What each motion says, while the simulated time of both goes on."""
        nonlocal ns
        ns += 50_000_000
        for publisher in (ticking, ticking_too):
            publisher.publish(Clock(clock=convert.stamp(ns)))
        for number, reader in enumerate(readers):
            if (status := reader.newest()) is not None:
                seen[number] = status["state"]
        return seen

    until(lambda: len(states()) == 2, "motion says nothing")
    assert stopped.estop().startswith("stopped")
    until(lambda: "e-stop" in states()[0], "it does not stop")
    heard_until_ns = ns + 1_000_000_000
    until(lambda: states() and ns > heard_until_ns, "time stands still")
    assert "e-stop" not in seen[1]


def test_an_estop_from_another_terminal_stops_the_rigs_of_every_namespace(two_motions):
    done = CliRunner().invoke(app, ["estop", "--domain", str(own_domain())])
    assert done.exit_code == 0, done.output
    assert sorted(done.output.splitlines()) == [
        "/cell: stopped; /motion/reset ends it",
        "/lab/second: stopped; /motion/reset ends it",
    ]


def test_an_estop_of_one_namespace_is_answered_by_that_one(two_motions):
    words = ["estop", "--domain", str(own_domain()), "--namespace", "/lab/second"]
    done = CliRunner().invoke(app, words)
    assert done.output.splitlines() == ["stopped; /motion/reset ends it"]


def test_a_second_rig_in_the_same_namespace_is_refused(two_motions):
    rig = body("cell")
    with (
        Supervisor(rig, graph.chosen(rig, ["motion"]), domain=own_domain()) as again,
        pytest.raises(NodeDied, match=r"a node /cell/motion already runs"),
    ):
        again.wait_ready()


def test_an_order_to_a_namespace_where_no_rig_is_says_where_rigs_are(two_motions, monkeypatch):
    monkeypatch.setattr("xlvla_cli.ros.operator.OFFER_TIMEOUT_S", 5.0)
    with (
        Operator(domain=own_domain(), namespace="celll") as operator,
        pytest.raises(XlvlaError) as error,
    ):
        operator.call(topics.ENGAGE, data=True)
    assert str(error.value) == (
        "no node provides /celll/motion/engage (5 s); /cell and /lab/second have one: "
        "--namespace says which rig is meant"
    )


@pytest.mark.long
def test_two_whole_rigs_simulate_side_by_side_and_one_is_recorded_by_its_usual_names(tmp_path):
    recorder = rig_file.load("teleop_scripted").recorder
    assert recorder is not None
    recorded = body("third", recorder=replace(recorder, folder=str(tmp_path)))
    plain = body("/lab/fourth", cameras={})
    with (
        interruptible(),
        Session(recorded, domain=own_domain()) as first,
        Session(plain, domain=own_domain()) as second,
    ):
        first.operator.call(topics.RECORDER_START)
        times = {"first": set(), "second": set()}
        give_up_s = time.monotonic() + 60
        while min(len(seen) for seen in times.values()) < 5:
            assert time.monotonic() < give_up_s, times
            times["first"].add(first.tick().get("time_s"))
            times["second"].add(second.tick().get("time_s"))
        first.operator.call(topics.RECORDER_STOP)
    (bag,) = tmp_path.rglob("*.mcap")
    names = set(Bag(bag.parent).topics)
    assert {"/left/arm/command", "/left/arm/joint_states", "/clock"} <= names
    assert not [name for name in names if name.startswith("/third")]


def test_a_namespace_that_only_the_command_line_of_a_node_says_carries_its_topics():
    """As PushRosNamespace of a launch file of one's own does it."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "xlvla.nodes.joint_states", "--ros-args"]
    command += ["-r", "__ns:=/pushed", "-p", "use_sim_time:=true", "-p", "rig:=bimanual"]
    node = participant.node_of_its_own("asker")
    started = subprocess.Popen(command)
    try:
        until(lambda: "/pushed/joint_states" in neighbours.present(node), "it does not come up")
        until(
            lambda: node.get_publishers_info_by_topic("/pushed/robot_description"),
            "its topics are elsewhere",
        )
        listens = dict(node.get_subscriber_names_and_types_by_node("joint_states", "/pushed"))
        assert all(name.startswith("/pushed/") for name in listens), listens
    finally:
        started.terminate()
        started.wait()
        participant.leave(node)


def test_a_topic_of_others_has_its_full_name_in_every_namespace():
    theirs = replace(topics.INJECT, name="/theirs/orders")
    other = participant.node_of_its_own("other", own_domain())
    ours = participant.node_of_its_own("ours", own_domain(), "lab")
    try:
        kind = topics.INJECT.type
        publisher = other.create_publisher(kind, theirs.name, theirs.qos)
        foreign = Reader(ours, replace(theirs, foreign=True))
        own = Reader(ours, theirs)
        until(publisher.get_subscription_count, "it is not heard")
        publisher.publish(kind(data="hello"))
        until(lambda: foreign.newest() is not None, "it does not come")
        assert own.newest() is None
    finally:
        participant.leave(ours)
        participant.leave(other)
