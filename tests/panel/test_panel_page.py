"""The panel without a rig: who may order what, and that a stop reaches whoever listens."""

from __future__ import annotations

import json
import threading
import time

import pytest

pytest.importorskip("viser")
pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from std_msgs.msg import String
from wire_browser import WireBrowser

from xlvla import rig_file
from xlvla.robot import rig_description
from xlvla.ros import forms, participant, topics
from xlvla.ros.reader import Reader
from xlvla.ros.stop import StopPublisher, StopReader
from xlvla.run import own_domain
from xlvla_cli.panel.page import Page
from xlvla_cli.panel.server import PanelServer, Place
from xlvla_cli.ros.operator import Operator
from xlvla_cli.ros.panel_feed import PanelFeed
from xlvla_cli.ros.panel_orders import PanelOrders

# A browser leaves while it is told something.
pytestmark = pytest.mark.filterwarnings("ignore:Queued a .* on a closed connection")

TRAINED = ("Stack the cheese can on top of the salt.",)


@pytest.fixture(scope="module")
def graph():
    """A node that is no panel's, of the same graph."""
    node = participant.node_of_its_own("listener", own_domain())
    yield node
    participant.leave(node)


@pytest.fixture(scope="module")
def stops(graph):
    return StopReader(graph)


@pytest.fixture(scope="module")
def sentences(graph):
    return Reader(graph, topics.INSTRUCTION, forms.WORDS)


@pytest.fixture(scope="module")
def lost():
    return threading.Event()


@pytest.fixture(scope="module")
def stands():
    """While set, the panel stands still."""
    return threading.Event()


@pytest.fixture(scope="module")
def address(graph, stops, sentences, lost, stands):
    """Where the panel of the simulated rig is served, while nothing of the rig runs."""
    rig = rig_file.load("bimanual")
    server = PanelServer(Place(port=0))
    done = threading.Event()
    with Operator(domain=own_domain()) as operator:
        feed = PanelFeed(operator, rig)
        orders = PanelOrders(operator, rig)
        page = Page(server, rig, orders, TRAINED, lost.set)

        def look():
            while not done.is_set():
                if not stands.is_set():
                    orders.follow()
                    page.show(feed.look())
                time.sleep(0.02)

        looking = threading.Thread(target=look)
        looking.start()
        yield server.address
        done.set()
        looking.join()
        server.stop()


@pytest.fixture
def browser(address):
    with WireBrowser(address) as browser:
        browser.until_text("This page drives")
        # What a test before it stopped.
        time.sleep(1.1)
        yield browser


def until(true, otherwise, seconds=20.0):
    give_up_s = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < give_up_s, otherwise
        time.sleep(0.02)
    return value


def test_without_a_rig_the_page_says_so_and_how_to_start_it(browser):
    said = browser.until_text("No robot")
    assert "xlvla run bimanual" in said
    assert browser.property("Engage", "disabled") is True
    assert browser.property("E-STOP (space)", "disabled") is False


@pytest.mark.parametrize("press", ["button", "space"])
def test_a_stop_is_published_though_no_motion_answers(browser, stops, press):
    list(stops.every())
    if press == "button":
        browser.click("E-STOP (space)")
    else:
        browser.press_space()
    found = until(lambda: list(stops.every()), "no stop was published", seconds=5.0)
    assert found[-1].stopped


@pytest.mark.long  # discovery is waited for
def test_a_stop_that_another_ended_is_not_kept_for_drivers_that_start_later(browser, graph):
    def starts_later():
        node = participant.node_of_its_own("later", own_domain())
        reader = StopReader(node)
        time.sleep(3.0)
        found = list(reader.every())
        participant.leave(node)
        return found

    browser.press_space()
    time.sleep(2.1)
    assert [stop.by for stop in starts_later()] == ["operator"]
    motion = StopPublisher(graph, "motion")
    try:
        motion.say(False)
        time.sleep(1.0)
    finally:
        motion.close()
    assert not starts_later()


@pytest.mark.long  # what it waits for is given up after 15 s
def test_a_stop_goes_out_while_another_order_is_waited_for(browser, stops):
    browser.click("Home")
    time.sleep(0.2)
    browser.click("New scene")
    browser.until_note("still waiting for Home")
    list(stops.every())
    browser.click("E-STOP (space)")
    assert until(lambda: list(stops.every()), "no stop was published", seconds=5.0)[-1].stopped
    browser.until_note("no node provides /motion/home")


def test_nothing_else_is_obeyed_right_after_a_stop(browser, sentences):
    browser.press_space()
    browser.type("Instruction", "Engage at once.")
    browser.click("Give the instruction")
    browser.until_note("right after an e-stop")
    assert sentences.newest() != "Engage at once."


def test_what_was_pressed_while_the_panel_stood_still_is_not_obeyed(
    browser, stands, stops, sentences
):
    browser.type("Instruction", "Pour the sauce.")
    stands.set()
    try:
        time.sleep(1.2)
        browser.click("Give the instruction")
        browser.until_note("the panel stood still")
        list(stops.every())
        browser.click("E-STOP (space)")
        assert until(lambda: list(stops.every()), "no stop was published", seconds=5.0)[-1].stopped
        time.sleep(1.2)
    finally:
        stands.clear()
    # What waited in the connection may also be read after the panel went on.
    time.sleep(0.2)
    browser.notes.clear()
    browser.click("Give the instruction")
    browser.until_note("the panel stood still")
    time.sleep(1.2)
    browser.click("Give the instruction")
    until(lambda: sentences.newest() == "Pour the sauce.", "no instruction came")


def test_the_state_is_sent_again_and_again_so_that_a_page_knows_when_nothing_comes(browser, stands):
    said = browser.until_text("No robot")
    assert "This page has heard nothing" in said
    browser.until(lambda: browser.until_text("No robot") != said, "it is not sent again")
    stands.set()
    try:
        time.sleep(0.5)
        said = browser.until_text("No robot")
        time.sleep(1.2)
        assert browser.until_text("No robot") == said
    finally:
        stands.clear()
    time.sleep(1.2)


def test_one_page_drives_and_the_others_may_look_and_stop(browser, address, stops, sentences):
    with WireBrowser(address) as other:
        other.until_text("This page looks on")
        other.type("Instruction", "Push.")
        other.click("Give the instruction")
        other.until_note("take over the controls first")
        list(stops.every())
        other.press_space()
        until(lambda: list(stops.every()), "no stop was published", seconds=5.0)
        time.sleep(1.1)
        other.click("Take over the controls")
        other.until_text("This page drives")
        browser.until_text("This page looks on")
        with WireBrowser(address) as third:
            third.until_text("This page looks on")
            other.close()
            # Of two that look on neither gets the controls by itself.
            third.until_text("Nobody drives")
            browser.until_text("Nobody drives")
            browser.click("Take over the controls")
            browser.until_text("This page drives")


def test_a_page_that_is_opened_anew_drives_though_the_old_one_left_later(browser, address):
    with WireBrowser(address) as anew:
        anew.until_text("This page looks on")
        browser.close()
        anew.until_text("This page drives")


def test_whoever_drives_is_missed_when_gone(address, lost):
    with WireBrowser(address) as page:
        page.until_text("This page drives")
        lost.clear()
    assert lost.wait(10)


def test_an_instruction_is_published_as_one_line(browser, sentences):
    until(lambda: sentences.newest() is None, "there are sentences")
    browser.type("Instruction", "  Push the\n two cans. ")
    browser.click("Give the instruction")
    until(lambda: sentences.newest() == "Push the two cans.", "no instruction came")


def test_an_empty_or_endless_instruction_is_refused(browser):
    browser.type("Instruction", " \n ")
    browser.click("Give the instruction")
    browser.until_note("type one, or choose one")
    browser.type("Instruction", "push " * 1000)
    browser.click("Give the instruction")
    browser.until_note("at most 1000 characters")


def test_what_strangers_publish_does_not_become_html(browser, graph):
    status = graph.create_publisher(
        topics.MOTION_STATUS.type, topics.MOTION_STATUS.name, topics.MOTION_STATUS.qos
    )
    report = graph.create_publisher(
        topics.DIAGNOSTICS.type, topics.DIAGNOSTICS.name, topics.DIAGNOSTICS.qos
    )
    evil = "<img src=x onerror=alert(1)>"
    try:
        said = {"plays": False, "state": f"disengaged: {evil}", "source": ""}
        status.publish(String(data=json.dumps(said)))
        motion = DiagnosticStatus(name="motion", message=evil, level=DiagnosticStatus.OK)
        give_up_s = time.monotonic() + 20
        while not any("alert(1)" in str(e.get("content")) for e in browser.elements.values()):
            report.publish(DiagnosticArray(status=[motion]))
            assert time.monotonic() < give_up_s, "the page does not show it"
            time.sleep(0.1)
        shown = browser.until_text("alert(1)")
        assert "<img" not in shown and "&lt;img" in shown
        browser.until_text("the robot holds still")
    finally:
        graph.destroy_publisher(status)
        graph.destroy_publisher(report)
    browser.until_text("The robot is lost: motion has been silent")


@pytest.mark.long  # each state is shown for seconds
def test_another_robot_than_is_shown_is_not_engaged_from_here(browser, graph):
    said, report, robot = (
        graph.create_publisher(topic.type, topic.name, topic.qos)
        for topic in (topics.MOTION_STATUS, topics.DIAGNOSTICS, topics.ROBOT_DESCRIPTION)
    )
    state = String(data=json.dumps({"plays": False, "state": "disengaged", "source": ""}))
    alive = DiagnosticArray(status=[DiagnosticStatus(name="motion", level=DiagnosticStatus.OK)])

    def shown_with(description):
        """Whether the robot can be engaged, some time after this description was published."""
        give_up_s = time.monotonic() + 4
        while time.monotonic() < give_up_s:
            for publisher, message in ((said, state), (report, alive)):
                publisher.publish(message)
            robot.publish(String(data=description))
            time.sleep(0.1)
        return not browser.property("Engage", "disabled")

    try:
        assert shown_with(rig_description(rig_file.load("bimanual")).text)
        assert not shown_with("<robot name='other'/>")
        assert shown_with(rig_description(rig_file.load("bimanual")).text)
    finally:
        for publisher in (said, report, robot):
            graph.destroy_publisher(publisher)
