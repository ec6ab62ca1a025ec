"""The operator's page: what is on it, and what its buttons order.

Every text that came from the graph is escaped: whoever publishes a message must not write into the
page.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import numpy as np
import viser

from xlvla.control_source import NOBODY
from xlvla.rig import Rig
from xlvla.screen import number
from xlvla_cli.panel.curves import Curves
from xlvla_cli.panel.scene import RobotScene
from xlvla_cli.panel.seen import Picture, Seen
from xlvla_cli.panel.server import PanelServer
from xlvla_cli.panel.words import (
    CLOSE_CLUTCH,
    END_STOP,
    ENGAGE,
    OPEN_CLUTCH,
    START_POLICY,
    STOP_POLICY,
    Words,
    words,
)
from xlvla_cli.ros.panel_orders import Answer, PanelOrders

COLOURS = {"good": "#2b8a3e", "busy": "#1864ab", "warning": "#b35c00", "bad": "#c92a2a"}
"""Of the box with the state, by mood; white is read on each."""

STYLE = """<style>
.xlvla-state { margin: 0 0.75em 0.5em; padding: 0.6em 0.8em; border-radius: 6px; color: #fff; }
.xlvla-state b { font-size: 1.05em; display: block; }
.xlvla-small { margin: 0 0.9em 0.4em; font-size: 0.82em; line-height: 1.35; }
.xlvla-small table { width: 100%; border-collapse: collapse; }
.xlvla-small td, .xlvla-small th { padding: 1px 4px 1px 0; text-align: left; font-weight: normal; }
.xlvla-small th { opacity: 0.6; }
.xlvla-bad { color: #e03131; } .xlvla-warning { color: #d9730d; }
button:has(svg.icon-tabler-hand-stop) { height: 4.2em !important; font-size: 1.25em; }
.xlvla-old { margin: 0 0.75em; border-radius: 6px; color: #fff; background: #000;
  max-height: 0; overflow: hidden; animation: xlvla-unfold 0s 4s forwards; }
.xlvla-old p { margin: 0; padding: 0.6em 0.8em; }
.xlvla-old + .xlvla-state { animation: xlvla-pale 0s 4s forwards; }
@media (max-width: 1100px) {
  .mantine-Notifications-root { top: auto !important; bottom: 1em; left: 1em !important; }
}
@keyframes xlvla-unfold { to { max-height: 12em; margin-bottom: 0.5em; } }
@keyframes xlvla-pale { to { opacity: 0.3; } }
</style>"""
"""viser's buttons have one size, and an e-stop is to be hit without aiming. On a narrow screen its
notes would lie over the state.

The state is sent again and again, and each time the animations begin anew. Where nothing comes, of
a panel that hangs or a connection that does, they unfold a line that says so, without a script.
"""

SPACE = """<img hidden src="data:," onerror="
  if (!window.xlvlaSpace) {
    window.xlvlaSpace = true;
    window.addEventListener('keydown', event => {
      const box = 'input[type=checkbox]';
      const closedList = '[role=combobox][aria-expanded=false]';
      const touched = event.target.closest?.(box + ', ' + closedList);
      if (event.code !== 'Space' || !touched) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      touched.blur();
      const press = {key: ' ', code: 'Space', bubbles: true};
      document.body.dispatchEvent(new KeyboardEvent('keydown', press));
    }, true);
  }"></img>"""
"""viser's keys do nothing after a check box or a list was touched, as in a text field: the space
key would not stop the robot. This hands it on from both, unless the list is open: it is written
there. viser has no place for scripts of one's own; that of a picture that fails is run.
"""

OLD = (
    '<div class="xlvla-old"><p><b>This page has heard nothing for 4 s.</b> What it shows is old, '
    "and no button of it, the e-stop neither, may reach the robot: stop it by its own "
    "emergency stop.</p></div>"
)

VIEW_FROM = (1.7, -1.1, 1.1)
VIEW_AT = (0.25, 0.0, 0.2)
"""From where a browser looks at first, and where to [m], in the world of the rig."""

LEFT_PIXELS = 360

MOST_FINDINGS = 4
"""Of an episode, that are shown: the worst come first."""

SLOWLY_S = 0.5
"""Between two changes of tables: nobody reads faster."""

STALLED_S = 1.0
"""A panel that showed nothing for so long stood still. What was pressed meanwhile, and comes within
as long afterwards, was meant for a robot as it was then.
"""

NOTE_S = 6.0
"""How long what came of an order is shown."""

TAKE_OVER = "Take over the controls"

NEXT = "blue"
USUAL = (73, 80, 87)
"""Colours of the button that is to be pressed next, and of all others."""

OBEYED = "teal"
REFUSED = "red"

Press = Callable[[Answer], None]


class Page:
    """The page of one rig, for as many browsers as look: one drives, the others look on.

    Everybody may stop; every other order is obeyed from the browser that drives. The first that
    connects drives, and one that is left alone; another takes over by a button.

    Args:
        sentences: what a policy was trained on, to choose from.
        when_lost: called, where given, when the browser that drives is gone.
    """

    def __init__(
        self,
        server: PanelServer,
        rig: Rig,
        orders: PanelOrders,
        sentences: tuple[str, ...],
        when_lost: Callable[[], None] | None = None,
    ):
        self._server = server
        self._rig = rig
        self._orders = orders
        self._when_lost = when_lost
        # Guards who drives, which callbacks of several threads read and change.
        self._lock = threading.Lock()
        self._drives: int | None = None
        self._seats: dict[int, viser.GuiHtmlHandle] = {}
        self._shown: dict[str, str] = {}
        self._slow_s = 0.0
        self._beats = 0
        # When the page was shown last, and until when orders may be those of a time before.
        self._alive_s = time.monotonic()
        self._stalled_until_s = 0.0
        self._buttons: dict[str, viser.GuiButtonHandle] = {}
        self._images: dict[str, viser.GuiImageHandle] = {}
        # The pictures that are shown.
        self._pictures: dict[str, Picture] = {}
        self.scene = RobotScene(server.scene, rig)
        self._lay_out(sentences)
        server.on_client_connect(self._connected)
        server.on_client_disconnect(self._left)

    @property
    def looked_at(self) -> bool:
        """Whether any browser is connected."""
        return bool(self._server.get_clients())

    def show(self, seen: Seen) -> None:
        """Shows what is known now."""
        now_s = time.monotonic()
        if now_s > self._alive_s + STALLED_S:
            self._stalled_until_s = now_s + STALLED_S
        self._alive_s = now_s
        with self._server.atomic():
            slowly = now_s > self._slow_s + SLOWLY_S
            self._beats += slowly
            self._say(words(seen, self._rig))
            self.scene.show(seen)
            self._curves.add(seen)
            self._show_pictures(seen)
            if slowly:
                self._slow_s = now_s
                self._enable(seen)
                self._show_tables(seen)
                self._curves.draw()

    def note(self, line: str, colour: str = OBEYED) -> None:
        """A line for everybody who looks."""
        for client in self._server.get_clients().values():
            _note(client, self._rig.name, line, colour)

    def _lay_out(self, sentences: tuple[str, ...]) -> None:
        gui = self._server.gui
        gui.configure_theme(show_logo=False, show_share_button=False, control_width="large")
        gui.main_panel.dock_right()
        self._server.initial_camera.position = VIEW_FROM
        self._server.initial_camera.look_at = VIEW_AT
        gui.add_html(STYLE + SPACE)
        self._state = gui.add_html("")
        self._add_stop()
        self._button(TAKE_OVER, viser.Icon.STEERING_WHEEL, None)
        self._buttons[TAKE_OVER].on_click(self._take_over)
        with gui.add_folder("Robot"):
            orders = self._orders
            self._button(ENGAGE, viser.Icon.PLAYER_PLAY, lambda answer: orders.engage(True, answer))
            self._button(
                "Disengage", viser.Icon.PLAYER_PAUSE, lambda answer: orders.engage(False, answer)
            )
            self._button("Home", viser.Icon.HOME, orders.home)
            self._button(END_STOP, viser.Icon.LOCK_OPEN, orders.end_stop)
            if self._rig.sim or self._rig.mirrored:
                self._button("New scene", viser.Icon.REFRESH, orders.new_scene)
            self._distances = gui.add_html("")
        self._add_task(sentences)
        if self._rig.teleop:
            self._add_teleoperation()
        if self._rig.recorder:
            self._add_recorder()
        with gui.add_folder("Show", expand_by_default=False):
            commanded = gui.add_checkbox("commanded pose", self.scene.show_commanded)
            coming = gui.add_checkbox("chunk to come", self.scene.show_coming)
        commanded.on_update(lambda _: setattr(self.scene, "show_commanded", commanded.value))
        coming.on_update(lambda _: setattr(self.scene, "show_coming", coming.value))
        above = gui.add_panel()
        above.dock_left()
        above.set_width(LEFT_PIXELS)
        if self._rig.cameras:
            with above.add_tab("Cameras"):
                self._add_cameras()
        with above.add_tab("Curves"):
            self._curves = Curves(gui, self._rig)
        below = gui.add_panel()
        below.dock_below(above)
        with below.add_tab("Devices"):
            self._add_devices()
        with below.add_tab("Nodes"):
            self._nodes = gui.add_html("")

    def _add_stop(self) -> None:
        gui = self._server.gui
        stop = gui.add_button("E-STOP (space)", icon=viser.Icon.HAND_STOP, color=(224, 49, 49))
        stop.on_click(self._stop)
        key = gui.add_command("E-stop", hotkey="space", icon=viser.Icon.HAND_STOP)
        key.on_trigger(self._stop)

    def _add_task(self, sentences: tuple[str, ...]) -> None:
        gui = self._server.gui
        with gui.add_folder("Task"):
            told = self._rig.policy.instruction if self._rig.policy else ""
            known = [told] if told else []
            known += [sentence for sentence in sentences if sentence != told]
            self._sentence = gui.add_text("Instruction", told)
            if known:
                chosen = gui.add_dropdown("Trained on", known)
                chosen.on_update(lambda _: setattr(self._sentence, "value", chosen.value))
            self._button(
                "Give the instruction",
                viser.Icon.MESSAGE,
                lambda answer: self._orders.instruct(self._sentence.value, answer),
            )
            self._task = gui.add_html("")
            if self._rig.policy:
                self._button(
                    START_POLICY,
                    viser.Icon.BRAIN,
                    lambda answer: self._orders.let_drive("policy", answer),
                )
                self._button(
                    STOP_POLICY,
                    viser.Icon.PLAYER_STOP,
                    lambda answer: self._orders.let_drive(NOBODY, answer),
                )

    def _add_teleoperation(self) -> None:
        gui = self._server.gui
        with gui.add_folder("Teleoperation"):
            self._teleop = gui.add_html("")
            self._button(
                "Teleoperation drives",
                viser.Icon.DEVICE_GAMEPAD,
                lambda answer: self._orders.let_drive("teleop", answer),
            )
            self._button(CLOSE_CLUTCH, viser.Icon.LINK, lambda a: self._orders.clutch(True, a))
            self._button(OPEN_CLUTCH, viser.Icon.UNLINK, lambda a: self._orders.clutch(False, a))

    def _add_recorder(self) -> None:
        gui = self._server.gui
        orders = self._orders
        with gui.add_folder("Recording"):
            self._recording = gui.add_html("")
            self._button(
                "Begin an episode", viser.Icon.PLAYER_RECORD, lambda a: orders.record(True, a)
            )
            self._button(
                "End the episode", viser.Icon.PLAYER_STOP, lambda a: orders.record(False, a)
            )
            self._button("Success", viser.Icon.CHECK, lambda a: orders.mark(True, a))
            self._button("Failure", viser.Icon.X, lambda a: orders.mark(False, a))
            self._button("Discard, or take back", viser.Icon.TRASH, orders.discard)
            self._button("Relabel with the instruction", viser.Icon.TAG, orders.relabel)

    def _add_devices(self) -> None:
        self._devices = self._server.gui.add_html("")
        for side, part in () if self._rig.sim else self._rig.parts:
            self._button(
                f"Recover the {side} {part}",
                viser.Icon.FIRST_AID_KIT,
                lambda answer, side=side, part=part: self._orders.recover(side, part, answer),
            )

    def _add_cameras(self) -> None:
        gui = self._server.gui
        self._ages = gui.add_html("")
        for name, camera in self._rig.cameras.items():
            width, height = camera.publish
            black = np.zeros((height, width, 3), np.uint8)
            self._images[name] = gui.add_image(black, label=name, format="jpeg")

    def _button(self, label: str, icon: viser.IconName, press: Press | None) -> None:
        button = self._server.gui.add_button(label, icon=icon, color=USUAL)
        self._buttons[label] = button
        if press is not None:
            button.on_click(lambda event: self._press(event, label, press))

    def _press(self, event: viser.GuiEvent[Any], label: str, press: Press) -> None:
        """Obeys the browser that drives."""
        client = event.client
        if client is None:
            return
        with self._lock:
            drives = self._drives
        why = ""
        if drives != client.client_id:
            why = "this page only looks on: take over the controls first"
        elif self._may_be_old():
            why = "the panel stood still, and this may have been pressed before: press it again"
        if why:
            _note(client, label, why, REFUSED)
            return
        press(lambda obeyed, line: _note(client, label, line, OBEYED if obeyed else REFUSED))

    def _may_be_old(self) -> bool:
        """Whether what comes now may have waited in a panel that stood still."""
        now_s = time.monotonic()
        return now_s < self._stalled_until_s or now_s > self._alive_s + STALLED_S

    def _stop(self, event: Any) -> None:
        """From whatever browser."""
        self._orders.stop(lambda obeyed, line: self.note(f"e-stop: {line}", REFUSED))

    def _take_over(self, event: viser.GuiEvent[Any]) -> None:
        if event.client is None:
            return
        with self._lock:
            self._drives = event.client.client_id
        self._say_seats()

    def _connected(self, client: viser.ClientHandle) -> None:
        seat = client.gui.add_html("", order=-1.0)
        with self._lock:
            self._seats[client.client_id] = seat
            if self._drives is None:
                self._drives = client.client_id
        self._say_seats()

    def _left(self, client: viser.ClientHandle) -> None:
        with self._lock:
            self._seats.pop(client.client_id, None)
            drove = self._drives == client.client_id
            if drove:
                # The one that is left drives: it may be the same that was opened anew.
                self._drives = next(iter(self._seats)) if len(self._seats) == 1 else None
        self._say_seats()
        if drove and self._when_lost is not None:
            self._when_lost()

    def _say_seats(self) -> None:
        """Tells every browser whether it drives."""
        with self._lock:
            alone = set(self._seats) == {self._drives}
            self._buttons[TAKE_OVER].visible = not alone
            for number, seat in self._seats.items():
                if number == self._drives:
                    line = "<b>This page drives.</b>"
                elif self._drives is None:
                    line = "Nobody drives. Take over the controls to drive from this page."
                else:
                    line = f"This page looks on; page {self._drives} drives. Everybody may stop."
                seat.content = f'<div class="xlvla-small">{line}</div>'

    def _say(self, said: Words) -> None:
        colour = COLOURS[said.mood]
        content = (
            f'{OLD}<div class="xlvla-state" data-beat="{self._beats}" style="background:{colour}">'
            f"<b>{escape(said.state)}</b>Next: {escape(said.next)}</div>"
        )
        self._html("state", self._state, content)
        for label, button in self._buttons.items():
            colour = NEXT if label == said.button else USUAL
            if button.color != colour:
                button.color = colour

    def _html(self, name: str, handle: viser.GuiHtmlHandle, content: str) -> None:
        """Sends what changed."""
        if self._shown.get(name) != content:
            self._shown[name] = content
            handle.content = content

    def _enable(self, seen: Seen) -> None:
        """Buttons that can do nothing now are grey; the e-stop never is."""
        there = seen.there("motion")
        state = seen.motion.get("state", "")
        stopped = state.startswith("e-stop")
        moves = state in ("engaged", "going home")
        recording = seen.recording.get("state") == "recording"
        last = bool(seen.recording.get("episode"))
        source = seen.motion.get("source", "")
        # Of another robot than is shown nobody sees here what it would do.
        shown = there and not seen.other_robot
        possible = {
            ENGAGE: shown and not stopped and not moves,
            "Disengage": there and moves,
            "Home": shown and state == "engaged",
            END_STOP: there and stopped,
            STOP_POLICY: there and source in ("", "policy"),
            "Begin an episode": not recording,
            "End the episode": recording,
            "Success": recording or last,
            "Failure": recording or last,
            "Discard, or take back": recording or last,
            "Relabel with the instruction": recording or last,
        }
        for label, can in possible.items():
            button = self._buttons.get(label)
            if button is not None and button.disabled == can:
                button.disabled = not can

    def _show_pictures(self, seen: Seen) -> None:
        if not self.looked_at:
            return
        for name, picture in seen.pictures.items():
            if self._pictures.get(name) is not picture:
                self._pictures[name] = picture
                self._images[name].image = picture.rgb

    def _show_tables(self, seen: Seen) -> None:
        self._html("devices", self._devices, _device_table(seen, self._rig))
        self._html("nodes", self._nodes, _node_table(seen))
        self._html("distances", self._distances, _distance_lines(seen))
        self._html("task", self._task, _task_lines(seen))
        if self._rig.teleop:
            self._html("teleop", self._teleop, _teleop_lines(seen))
        if self._rig.recorder:
            self._html("recording", self._recording, _recording_lines(seen))
        if self._rig.cameras:
            self._html("ages", self._ages, _camera_lines(seen, self._rig))


def _note(client: viser.ClientHandle, title: str, line: str, colour: Any) -> None:
    client.add_notification(title, line, auto_close_seconds=NOTE_S, color=colour)


def _small(*lines: str) -> str:
    """Lines, each HTML."""
    return f'<div class="xlvla-small">{"<br>".join(lines)}</div>'


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table of cells, each HTML."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="xlvla-small"><table><tr>{top}</tr>{body}</table></div>'


def _coloured(text: str, level: str) -> str:
    kinds = {"warning": "xlvla-warning", "fault": "xlvla-bad"}
    kind = kinds.get(level, "")
    return f'<span class="{kind}">{escape(text)}</span>' if kind else escape(text)


def _device_table(seen: Seen, rig: Rig) -> str:
    rows: list[tuple[str, ...]] = []
    lines: list[str] = []
    for side, part in rig.parts:
        came_s = seen.measured_s.get((side, part))
        age = "never" if came_s is None else f"{1e3 * (seen.now_s - came_s):.0f} ms"
        if rig.sim:
            rows.append((f"{side} {part}", "simulated", age))
            continue
        figures = seen.figures.get(f"{side}_{part}", {})
        status = seen.devices.get((side, part))
        level = status.level if status else "fault"
        if status and status.stopped:
            level, word = "warning", "stopped"
        else:
            word = level if status else "silent"
        rate_hz = number(figures, "states [Hz]")
        read_ms = number(figures, "read p99 [ms]")
        rows.append(
            (
                f"{side} {part}",
                _coloured(word, level),
                age,
                "" if rate_hz is None else f"{rate_hz:.0f} Hz",
                "" if read_ms is None else f"{read_ms:.1f} ms",
                _warmest(figures),
            )
        )
        if status and status.level != "ok":
            lines.append(f"{side} {part}: {_coloured(status.line, level)}")
    head = ("", "state", "age") if rig.sim else ("", "state", "age", "rate", "read", "warmest")
    return _table(head, rows) + (_small(*lines) if lines else "")


def _warmest(figures: Mapping[str, str]) -> str:
    keys = [key for key in figures if key.startswith("temperature") and key.endswith("[C]")]
    celsius = [value for key in keys if (value := number(figures, key)) is not None]
    return f"{max(celsius):.0f} °C" if celsius else ""


def _distance_lines(seen: Seen) -> str:
    """What is nearest to what, and how much motion slows for it."""
    motion = seen.figures.get("motion", {})
    lines: list[str] = []
    if nearest := motion.get("nearest"):
        lines.append(f"nearest: {escape(nearest)}")
    pace = number(motion, "pace")
    if pace is not None and pace < 1:
        lines.append(_coloured(f"slowed to {100 * pace:.0f} %", "warning"))
    alone = motion.get("goes alone", "none")
    if alone != "none":
        lines.append(_coloured(f"only the {alone} moves, the other waits", "warning"))
    return _small(*lines) if lines else ""


def _node_table(seen: Seen) -> str:
    rows: list[tuple[str, ...]] = []
    for node in seen.nodes:
        silent_s = seen.silent_s(node)
        if seen.there(node):
            said = escape(seen.figures.get(node, {}).get("", ""))
        elif node in seen.heard_s:
            said = _coloured(f"silent for {silent_s:.0f} s", "fault")
        else:
            said = _coloured("not heard yet", "warning")
        rows.append((escape(node), said))
    return _table(("node", "says"), rows)


def _task_lines(seen: Seen) -> str:
    lines: list[str] = []
    policy = seen.figures.get("policy")
    if policy:
        lines.append(f"policy: {escape(policy.get('', ''))}")
        chunk_ms = number(policy, "observation to chunk p50 [ms]")
        if chunk_ms is not None:
            lines.append(f"a chunk {chunk_ms:.0f} ms after its picture")
    if seen.sim:
        lines.append(f"{seen.sim['time_s']:.1f} s: {escape(seen.sim['text'])}")
    return _small(*lines) if lines else ""


def _teleop_lines(seen: Seen) -> str:
    status = seen.teleop
    if not status:
        return _small("no status of teleoperation yet")
    lines = [f"{escape(status['source'])} {escape(status['address'])}, {status['rate_hz']:.0f} Hz"]
    if status["link"]:
        lines.append(_coloured(status["link"], "fault"))
    for side, state in status["sides"].items():
        if not state["clutched"]:
            why = "" if state["why"] == "open" else f", {_coloured(state['why'], 'warning')}"
            lines.append(f"{escape(side)}: clutch open{why}")
        elif state["strained"]:
            lines.append(f"{escape(side)}: follows, {_coloured('cannot reach', 'warning')}")
        else:
            lines.append(f"{escape(side)}: follows")
    return _small(*lines)


def _recording_lines(seen: Seen) -> str:
    status = seen.recording
    if not status:
        return _small("no status of the recorder yet")
    levels = {"yellow": "warning", "red": "fault"}
    level = levels.get(status["verdict"], "ok")
    name = escape(status["episode"]) or "no episode yet"
    if status["state"] == "recording":
        size = f"{status['duration_s']:.1f} s, {status['written_mb']:.1f} MB"
        lines = [f"<b>{_coloured('RECORDING', 'fault')}</b> {name}: {size}"]
    else:
        lines = [name]
    if status["instruction"]:
        lines.append(escape(status["instruction"]))
    if status["verdict"]:
        lines.append(f"verdict: {_coloured(status['verdict'], level)}")
    findings = [finding.removeprefix(f"{status['verdict']}: ") for finding in status["findings"]]
    lines += [_coloured(finding, level) for finding in findings[:MOST_FINDINGS]]
    more = len(findings) - MOST_FINDINGS
    lines += [f"and {more} more"] if more > 0 else []
    return _small(*lines)


def _camera_lines(seen: Seen, rig: Rig) -> str:
    lines: list[str] = []
    for name in rig.cameras:
        picture = seen.pictures.get(name)
        if picture is None:
            lines.append(f"{escape(name)}: {_coloured('no picture yet', 'warning')}")
            continue
        age_s = seen.now_s - picture.sent_s
        text = f"{picture.rate_hz:.0f} Hz, {1e3 * age_s:.0f} ms old"
        lines.append(f"{escape(name)}: {_coloured(text, 'fault' if age_s > 1 else 'ok')}")
    return _small(*lines)
