"""Foot pedals of PCsensor, which are sold under many names and type `a`, `b` and `c` as a keyboard
does until they are programmed to type something else.
"""

from xlvla_drivers.buttons.key_set import KeySet

KEYS = KeySet(
    "PCsensor foot pedal",
    keys={"KEY_A": "record", "KEY_B": "success", "KEY_C": "estop"},
    ids=((0x0C45, 0x7403), (0x0C45, 0x7404), (0x413D, 0x2107), (0x1A86, 0xE026)),
)
