"""Anything else that is a keyboard for Linux: keypads, single big buttons, pedals of other makers.
A rig says where it is and what its keys do.
"""

from xlvla_drivers.buttons.key_set import KeySet

KEYS = KeySet("keypad")
