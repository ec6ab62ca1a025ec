"""`xlvla emulate`: one emulated device in this terminal; `xlvla inject`: a fault for the emulated
devices of a running rig.
"""

from __future__ import annotations

import os
import select
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla.text import plain
from xlvla_cli.options import HandSide, Namespace

if TYPE_CHECKING:
    from xlvla.screen import Screen
    from xlvla.types import Side
    from xlvla_drivers.emulators.emulator import Emulator

SHOWN_S = 0.1


def register(app: typer.Typer) -> None:
    app.command()(emulate)
    app.command()(inject)


def emulate(
    driver: Annotated[str, typer.Argument(help="Driver whose device to emulate, such as inspire.")],
    side: HandSide = "right",
    address: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on, in the driver's form; by default the emulator's own."
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="Driver option as key=value; repeatable."),
    ] = None,
) -> None:
    """Emulate one device, or an operator with one, until Ctrl-C. Faults are typed: `unplug` begins
    one, `unplug off` ends it.
    """
    from xlvla.run import interruptible
    from xlvla.screen import Screen
    from xlvla_drivers import registry

    chosen = _side(side)
    part = _part(driver)
    options = registry.options(
        part, driver, dict(_choice(entry) for entry in option or []), "--option"
    )
    where = address or registry.emulated_address(driver, chosen)
    made: Emulator = registry.emulator_module(driver).Emulator(where, chosen, options)
    with Screen() as screen, interruptible():
        made.start()
        screen.say(
            (f"{chosen} {driver}", "bold"),
            f" at {where}. Faults: {', '.join(made.known_faults)}. Ctrl-C ends it.",
        )
        try:
            _serve(made, screen)
        except KeyboardInterrupt:
            screen.say("stopped")
        finally:
            made.stop()


def inject(
    side: Annotated[str, typer.Argument(help="left or right.")],
    part: Annotated[str, typer.Argument(help="arm or hand.")],
    fault: Annotated[str, typer.Argument(help="A fault of its emulator, such as unplug.")],
    state: Annotated[str, typer.Argument(help="on or off.")] = "on",
    domain: Annotated[
        int | None,
        typer.Option(min=0, max=101, help="ROS domain of the rig instead of ROS_DOMAIN_ID."),
    ] = None,
    namespace: Namespace = "",
) -> None:
    """Inject a fault into an emulated device of a running rig, or clear it."""
    from xlvla.errors import XlvlaError
    from xlvla.run import interruptible
    from xlvla_cli.ros.faults import FaultOrders
    from xlvla_cli.ros.operator import Operator

    if state not in ("on", "off"):
        raise XlvlaError(f"a fault is 'on' or 'off', not '{state}'")
    with interruptible(), Operator(domain=domain, namespace=namespace) as operator:
        active = FaultOrders(operator.node).order(f"{side} {part}", fault, state == "on")
    typer.echo(plain(f"{side} {part}: {', '.join(active) or 'all well'}"))


def _serve(emulator: Emulator, screen: Screen) -> None:
    """Shows where the joints are and obeys what is typed."""
    typed = _Typed()
    while True:
        joints = zip(emulator.joints, emulator.position, strict=True)
        screen.now(
            getattr(emulator, "told", None)
            or "  ".join(f"{name} {angle:+.2f}" for name, angle in joints)
        )
        for line in typed.lines(SHOWN_S):
            _obey(emulator, line.split(), screen)


class _Typed:
    """Lines of the standard input as they come; its end only ends the typing."""

    def __init__(self) -> None:
        self._rest = ""
        self._open = sys.stdin is not None and not sys.stdin.closed

    def lines(self, wait_s: float) -> list[str]:
        """Whole lines that came within the time."""
        if not self._open:
            time.sleep(wait_s)
            return []
        if not select.select([sys.stdin], [], [], wait_s)[0]:
            return []
        data = os.read(sys.stdin.fileno(), 4096)
        self._open = bool(data)
        *lines, self._rest = (self._rest + data.decode(errors="replace")).split("\n")
        return lines


def _obey(emulator: Emulator, words: list[str], screen: Screen) -> None:
    """Does what a typed line says."""
    from xlvla.errors import XlvlaError

    if not words:
        return
    try:
        emulator.inject(words[0], words[1:] != ["off"])
        screen.say(f"{words[0]} {'off' if words[1:] == ['off'] else 'on'}")
    except XlvlaError as error:
        screen.say((str(error), "yellow"))


def _side(word: str) -> Side:
    from xlvla.errors import unknown
    from xlvla.types import SIDES

    for side in SIDES:
        if side == word:
            return side
    raise unknown("side", word, SIDES)


def _part(driver: str) -> str:
    """Whether a driver is a hand's, an arm's or an operator's; refuses one that has no emulator."""
    from xlvla import catalog
    from xlvla.errors import unknown
    from xlvla.types import PARTS
    from xlvla_drivers import registry

    known = registry.emulators()
    if driver not in known:
        raise unknown("emulator", driver, known)
    return next(kind for kind in (*PARTS, "teleop") if driver in catalog.drivers(kind))


def _choice(entry: str) -> tuple[str, Any]:
    """`key=value` with the value read as YAML."""
    import yaml

    from xlvla.errors import XlvlaError

    key, equals, value = entry.partition("=")
    if not equals:
        raise XlvlaError(f"--option {entry}: expected key=value")
    return key, yaml.safe_load(value)
