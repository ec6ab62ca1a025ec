"""Gamepads that the kernel's drivers know, by its names of their buttons. South is A of an Xbox pad
and the cross of a PlayStation's, east is B and the circle; drivers disagree on north and west.
"""

from xlvla_drivers.buttons.key_set import KeySet

KEYS = KeySet(
    "gamepad",
    keys={
        "BTN_SOUTH": "record",
        "BTN_START": "success",
        "BTN_TL": "failure",
        "BTN_SELECT": "discard",
        "BTN_TR": "hold",
        "BTN_EAST": "estop",
    },
)
