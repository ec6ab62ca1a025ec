"""Finds the driver and the emulator of a part by what the rig says of it."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from xlvla import catalog, operator_hand
from xlvla.buttons import Action
from xlvla.device import DeviceConfig
from xlvla.errors import RigError, XlvlaError, unknown
from xlvla.rig import Rig
from xlvla.strict import build
from xlvla.teleop import TeleopConfig
from xlvla.types import PARTS, SIDES, Part, Side
from xlvla_drivers.buttons.key_device import KeyDevice, key_faults
from xlvla_drivers.buttons.key_set import KeySet
from xlvla_drivers.device import Device
from xlvla_drivers.emulators.emulator import Emulator
from xlvla_drivers.own_folder import own_folder
from xlvla_drivers.teleop.operator import TeleopSource

ADDRESS = os.path.join("{own}", "{domain}", "{side}_{driver}")
"""Where a serial emulator's port is unless somebody chose; `{own}` is the user's own folder."""

_SPEAKING_ROS = "xlvla_drivers.ros"
"""Where drivers and emulators of devices stand that are ROS nodes themselves."""


def driver(kind: str, name: str) -> ModuleType:
    """The module of a driver of a kind (hand, arm, camera, teleop); XlvlaError where it is
    unknown.
    """
    known = catalog.drivers(kind)
    if name not in known:
        raise unknown(f"{kind} driver", name, known)
    return importlib.import_module(
        f"xlvla_drivers.{kind}.{name}" if kind == "teleop" else f"xlvla_drivers.{kind}s.{name}"
    )


def options(kind: str, name: str, chosen: Mapping[str, Any], where: str) -> Any:
    """The driver's Options with what a rig chose; RigError says what it does not know, by `where`
    it stood.
    """
    made, faults = build(driver(kind, name).Options, chosen, where)
    if faults or made is None:
        raise RigError(faults)
    return made


def faults(rig: Rig) -> list[str]:
    """What the drivers of a rig do not understand of it, one line each; imports them."""
    found: list[str] = []
    if rig.teleop:
        with _kept(found):
            options("teleop", rig.teleop.source, rig.teleop.options, "teleop.options")
        if rig.teleop.camera:
            found += _shown_faults(rig.teleop.source)
        if rig.teleop.operator:
            found += _operator_faults(rig.teleop)
    for side, part in rig.parts if rig.sim is None else ():
        with _kept(found):
            _refuse_address(configured(rig, side, part))
    for name in rig.cameras if rig.sim is None else ():
        if (camera := rig.camera_device(name)) and not camera.emulated:
            with _kept(found):
                options("camera", camera.driver, camera.options, f"cameras.{name}.device.options")
    for name in rig.buttons:
        found += _button_faults(rig, name)
    if not found:
        with _kept(found):
            found += _shared_faults(rig)
    return found


def refuse_made_up_hand(source: str) -> None:
    """Raises XlvlaError for a source of teleoperation that sees no hand of the operator's."""
    if getattr(driver("teleop", source), "MAKES_UP_HAND", False):
        raise XlvlaError(f"the source '{source}' sees no hand of the operator's to calibrate")


def _shown_faults(source: str) -> list[str]:
    made = getattr(driver("teleop", source), "Driver", None)
    if hasattr(made, "show"):
        return []
    return [f"teleop.camera: the source '{source}' shows the operator nothing: leave it out"]


def _operator_faults(teleop: TeleopConfig) -> list[str]:
    try:
        refuse_made_up_hand(teleop.source)
        operator_hand.load(teleop.operator)
    except XlvlaError as error:
        return [f"teleop.operator: {error}"]
    return []


def _refuse_address(part: ConfiguredPart) -> None:
    """Raises XlvlaError for an address that can be none of its device: those of a hand and an arm
    may be swapped.
    """
    where = f"sides.{part.side}.{part.part}.device.address"
    if part.address != part.address.strip():
        raise XlvlaError(f"{where}: '{part.address}' begins or ends with a blank")
    module = driver(part.part, part.device.driver)
    try:
        _claim(module, part.address, part.side, part.options)
    except XlvlaError as error:
        raise XlvlaError(f"{where}: {error}") from None


def _shared_faults(rig: Rig) -> list[str]:
    """Devices of a rig that are one and the same: two drivers would command it against each
    other.
    """
    users: dict[str, list[str]] = {}
    for where, claim in _claims(rig):
        users.setdefault(claim, []).append(where)
    return [
        f"{' and '.join(places)} have one address, {claim}: every device needs its own"
        for claim, places in users.items()
        if len(places) > 1
    ]


def _claims(rig: Rig) -> Iterator[tuple[str, str]]:
    """Every device that a rig opens: where the rig says it, and what it takes for itself."""
    if rig.sim is None:
        for side, part in rig.parts:
            made = configured(rig, side, part)
            module = driver(part, made.device.driver)
            yield f"sides.{side}.{part}", _claim(module, made.address, side, made.options)
        for name in rig.cameras:
            camera = rig.camera_device(name)
            # One file may be played as several cameras.
            if camera and not camera.emulated and camera.driver != "video":
                yield f"cameras.{name}", _place(camera.address)
    if rig.teleop:
        module = driver("teleop", rig.teleop.source)
        chosen = options("teleop", rig.teleop.source, rig.teleop.options, "teleop.options")
        ports: Mapping[str, str] = getattr(chosen, "ports", {})
        for side, port in ports.items():
            yield f"teleop.options.ports.{side}", _place(port)
        if rig.teleop.address:
            yield "teleop", _place(rig.teleop.address)
    for name, config in rig.buttons.items():
        if config.address:
            yield f"buttons.{name}", _place(config.address)


def _claim(module: ModuleType, address: str, side: Side, chosen: Any) -> str:
    """What a driver takes for itself: it says so where an address alone does not."""
    claim: Callable[[str, Side, Any], str] | None = getattr(module, "claim", None)
    return claim(address, side, chosen) if claim else _place(address)


def _place(address: str) -> str:
    """A device file by its real name, whatever links lead to it; any other address as it is."""
    return os.path.realpath(address) if os.sep in address else address


@contextlib.contextmanager
def _kept(faults: list[str]) -> Generator[None]:
    """Collects what is wrong instead of raising it."""
    try:
        yield
    except RigError as error:
        faults += error.faults
    except XlvlaError as error:
        faults.append(str(error))


@dataclass(frozen=True)
class ConfiguredPart:
    """An arm or a hand with what its driver and its emulator need, resolved once.

    Args:
        device: where the hardware is, its driver spelled out.
        options: the driver's Options.
        joints: the part's own names, as in the catalogue.
        start: where an episode starts [J] rad.
    """

    side: Side
    part: Part
    device: DeviceConfig
    options: Any
    joints: tuple[str, ...]
    start: np.ndarray

    @property
    def address(self) -> str:
        """What the rig says, or where the device's emulator likes to be."""
        return self.device.address or emulated_address(self.device.driver, self.side)


def configured(rig: Rig, side: Side, part: Part) -> ConfiguredPart:
    """A part of a rig, resolved; raises XlvlaError for what its driver does not understand."""
    device = rig.device(side, part)
    if device is None:
        raise XlvlaError(
            f"sides.{side}.{part}: this rig does not say where the device is: add `device: "
            f"{{address: ...}}`"
        )
    if device.emulated and not has_emulator(device.driver):
        raise XlvlaError(
            f"sides.{side}.{part}.device.emulated: "
            f"{unknown('emulator', device.driver, emulators())}"
        )
    chosen = options(part, device.driver, device.options, f"sides.{side}.{part}.device.options")
    if getattr(chosen, "carries", "") is None:
        chosen = dataclasses.replace(chosen, carries=rig.hand(side).name)
    start = rig.start(side)
    pose = np.array([start[name] for name in rig.joint_names(side, part)])
    joints = rig.arm(side).joints if part == "arm" else rig.hand(side).joint_names(side)
    return ConfiguredPart(side, part, device, chosen, joints, pose)


def source(rig: Rig, node: Any) -> TeleopSource:
    """The source of a rig's teleoperation, not yet open."""
    assert rig.teleop is not None
    chosen = options("teleop", rig.teleop.source, rig.teleop.options, "teleop.options")
    return source_driver(rig.teleop.source)(rig.teleop.address, tuple(rig.sides), chosen, node)


def source_driver(name: str) -> Callable[[str, tuple[Side, ...], Any, Any], TeleopSource]:
    """What makes a source of teleoperation; one that speaks ROS stands in `ros/sources`, its
    options in `teleop`.
    """
    module = driver("teleop", name)
    if not hasattr(module, "Driver"):
        module = importlib.import_module(f"xlvla_drivers.ros.sources.{name}")
    return module.Driver


def buttons(rig: Rig, name: str) -> KeyDevice:
    """A pedal or gamepad of a rig, not yet open; XlvlaError where evdev is not installed."""
    config = rig.buttons[name]
    kind = key_set(config.type)
    keys = pressed_keys(rig, name)
    return KeyDevice(kind, config.address, keys, config.exclusive)


def pressed_keys(rig: Rig, name: str) -> Mapping[str, Action]:
    """What keys do: what the rig says, or what is usual and this rig can do."""
    config = rig.buttons[name]
    usual = key_set(config.type).keys
    return config.keys or {
        key: action for key, action in usual.items() if action not in rig.no_actions
    }


def key_set(name: str) -> KeySet:
    """A type of pedal or gamepad of the catalogue."""
    return importlib.import_module(f"xlvla_drivers.buttons.{name}").KEYS


def _button_faults(rig: Rig, name: str) -> list[str]:
    """What is wrong with a pedal or gamepad whose type is known."""
    config = rig.buttons[name]
    kind = key_set(config.type)
    try:
        found = key_faults(config.keys, f"buttons.{name}.keys")
    except XlvlaError as error:
        return [f"buttons.{name}: {error}"]
    if not pressed_keys(rig, name):
        found.append(f"buttons.{name}.keys: say what a key does, as in `keys: {{KEY_A: estop}}`")
    if not kind.keys and not config.address:
        found.append(
            f"buttons.{name}.address: every keyboard could be this {kind.title}: say which, best "
            "below /dev/input/by-id"
        )
    return found


def open_device(part: ConfiguredPart) -> Device:
    """The device of a part, not yet connected."""
    name = part.device.driver
    module = driver(part.part, name)
    if hasattr(module, "Driver"):
        return module.Driver(part.address, part.side, part.options)
    # One that speaks ROS moves whatever joints the part has.
    module = importlib.import_module(f"{_SPEAKING_ROS}.devices.{name}")
    return module.Driver(part.address, part.side, part.options, part.joints)


def emulator(part: ConfiguredPart) -> Emulator:
    """The emulator of a part, not yet started, its arm at home."""
    name = part.device.driver
    made: Emulator
    if _emulator_place(name).startswith(_SPEAKING_ROS):
        make = emulator_module(name).Emulator
        made = make(part.address, part.side, part.options, part.joints)
    else:
        made = emulator_module(name).Emulator(part.address, part.side, part.options)
    if part.part == "arm":
        made.plant.place(part.start)
    return made


def emulators() -> tuple[str, ...]:
    """Names of the drivers that have an emulator."""
    return tuple(
        name for kind in (*PARTS, "teleop") for name in catalog.drivers(kind) if has_emulator(name)
    )


def has_emulator(name: str) -> bool:
    return bool(_emulator_place(name))


def emulator_module(name: str) -> ModuleType:
    if not has_emulator(name):
        raise unknown("emulator", name, emulators())
    return importlib.import_module(_emulator_place(name))


def _emulator_place(name: str) -> str:
    """The module of an emulator; '' where there is none."""
    places = (f"xlvla_drivers.emulators.{name}", f"{_SPEAKING_ROS}.emulators.{name}")
    return next((place for place in places if find_spec(place)), "")


def emulated_address(name: str, side: Side) -> str:
    """Where an emulator listens when nobody chose: apart for every side, every ROS domain and every
    user.

    A headset's is where its real one is looked for: a machine has one operator.
    """
    pattern: str = getattr(emulator_module(name), "ADDRESS", ADDRESS)
    domain = int(os.environ.get("ROS_DOMAIN_ID") or 0)
    own = own_folder() if "{own}" in pattern else ""
    return pattern.format(
        side=side,
        number=1 + SIDES.index(side),
        domain=domain,
        apart=(domain + 100) % 232,
        driver=name,
        own=own,
    )
