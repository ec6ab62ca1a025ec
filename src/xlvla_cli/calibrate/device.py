"""`xlvla calibrate device`: leads through the calibration of a rig's device and writes it into the
rig's file.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla_cli.options import HandSide

if TYPE_CHECKING:
    from contextlib import ExitStack

    from xlvla.device import JointCalibration
    from xlvla.rig import Rig
    from xlvla.types import Part, Side
    from xlvla_drivers.registry import ConfiguredPart
    from xlvla_drivers.walkthrough import Fit


def register(app: typer.Typer) -> None:
    app.command("device")(device)


def device(
    rig: Annotated[
        str, typer.Argument(help="YAML file of the rig; one of the catalogue is copied first.")
    ],
    side: HandSide = "right",
    part: Annotated[str, typer.Option(help="arm or hand.")] = "hand",
    joint: Annotated[
        list[str] | None,
        typer.Option(help="Only this joint; repeatable. The others keep their calibration."),
    ] = None,
    scale: Annotated[
        bool,
        typer.Option(
            "--scale", help="Fit the scale too, for a device that does not count true angles."
        ),
    ] = False,
    snap_deg: Annotated[
        float,
        typer.Option(
            min=0,
            help="Offsets are multiples of this angle: 90 for servos whose horns mount in "
            "quarter turns.",
        ),
    ] = 0.0,
    output: Annotated[Path | None, typer.Option(help="Write the rig here instead.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
) -> None:
    """Find the sign, offset and scale of a device's joints: you bring each joint to marked angles,
    and the device is read there.

    The device is not moved unless you ask for it. The old file is kept beside the new one.
    """
    from xlvla.rig_file import load

    loaded = load(rig)
    chosen_side, chosen_part = _part(loaded, side, part)
    source, target = _files(rig, loaded, output)
    fits = _walk(loaded, chosen_side, chosen_part, joint or [], scale, math.radians(snap_deg))
    if not fits:
        typer.echo("nothing is written")
        return
    _show(fits)
    if not yes and not _agrees(f"write this into {target}? [y/N] "):
        typer.echo("nothing is written")
        return
    fitted = {name: fit.calibration for name, fit in fits.items()}
    _write(loaded, chosen_side, chosen_part, fitted, source, target)


def _part(rig: Rig, side: str, part: str) -> tuple[Side, Part]:
    from xlvla.errors import XlvlaError, unknown

    for known in rig.parts:
        if known == (side, part):
            if rig.device(*known) is None:
                raise XlvlaError(
                    f"rig '{rig.name}' has no device at sides.{side}.{part}: add `device: "
                    f"{{address: ...}}`"
                )
            return known
    raise unknown("part", f"{side} {part}", [" ".join(known) for known in rig.parts])


def _files(rig: str, loaded: Rig, output: Path | None) -> tuple[Path, Path]:
    """The rig's file, and the one to write: a rig of the catalogue stays as it is."""
    from xlvla import catalog
    from xlvla.errors import XlvlaError

    source = catalog.rigs().get(rig)
    if source is None:
        return Path(rig), output or Path(rig)
    target = output or Path(f"{loaded.name}.yaml")
    if target.exists() and not output:
        raise XlvlaError(
            f"'{rig}' is a rig of the catalogue and {target} exists already: `xlvla calibrate "
            f"device {target}`, or choose --output"
        )
    return source, target


def _walk(
    rig: Rig, side: Side, part: Part, only: list[str], scaled: bool, snap: float
) -> dict[str, Fit]:
    """Fits by joint; the device is limp or held, as its driver leaves it."""
    from contextlib import ExitStack

    from xlvla.errors import unknown
    from xlvla_drivers import registry
    from xlvla_drivers.walkthrough import Skipped, Walk, marks

    configured = registry.configured(rig, side, part)
    device = registry.open_device(configured)
    for name in only:
        if name not in device.joints:
            raise unknown("joint", name, device.joints)
    lower, upper = rig.limits(side, part)
    fits: dict[str, Fit] = {}
    with ExitStack() as stack:
        _rehearse(configured, stack)
        stack.callback(device.disconnect)
        device.connect()
        walk = Walk(device, _ask, typer.echo)
        for index, name in enumerate(device.joints):
            if only and name not in only:
                continue
            at = marks(lower[index], upper[index])
            try:
                fits[name] = walk.joint(index, at, scaled=scaled, snap=snap)
            except Skipped:
                typer.echo(f"  {name} is skipped")
            except KeyboardInterrupt:
                typer.echo("stopped: nothing is written")
                raise typer.Exit(1) from None
    return fits


def _rehearse(configured: ConfiguredPart, stack: ExitStack) -> None:
    """Starts the emulator of an emulated device."""
    from xlvla_drivers import registry

    if configured.device.emulated:
        emulator = registry.emulator(configured)
        emulator.start()
        stack.callback(emulator.stop)


def _ask(question: str) -> str:
    """What is typed, from a terminal or a pipe."""
    return input(question)


def _agrees(question: str) -> bool:
    return _ask(question).strip().lower() in ("y", "yes")


def _show(fits: dict[str, Fit]) -> None:
    from xlvla import screen
    from xlvla_cli.tables import table

    shown = table(
        "Calibration: joint = sign * scale * device + offset",
        "joint",
        "sign",
        "offset [deg]",
        "scale",
        "worst mark off by [deg]",
    )
    for name, fit in fits.items():
        entry = fit.calibration
        shown.add_row(
            name,
            f"{entry.sign:+.0f}",
            f"{math.degrees(entry.offset):.2f}",
            f"{entry.scale:.4f}",
            f"{math.degrees(fit.residual):.2f}",
        )
    screen.console().print(shown)


def _write(
    rig: Rig,
    side: Side,
    part: Part,
    fitted: dict[str, JointCalibration],
    source: Path,
    target: Path,
) -> None:
    from xlvla_cli.rig_edit import save, with_calibration

    device = rig.device(side, part)
    assert device is not None
    # Joints that were not fitted keep their calibration.
    calibration = {**device.calibration, **fitted}
    kept = save(target, with_calibration(source.read_text(), side, part, calibration))
    line = f"written to {target}"
    if kept:
        line += f"; as it was: {kept}"
    typer.echo(line)
