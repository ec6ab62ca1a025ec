"""Who commands, as given in a command's `frame_id`: `<session>`, `<session>/<reset_id>`, or from a
writer without a session `<reset_id>`.

A session is one writer from an engagement to the next. A driver follows one at a time: the first it
accepts when it follows none. It follows none after an anchor, a stop or a reset of the simulation,
and once it has accepted no command for `motion.stale_s` and is at rest. So a writer that begins a
new session is silent for `silence_s` first; a stranger who writes while a session is alive is
refused, with or without a session of its own.
"""

from __future__ import annotations

import re
import secrets

from xlvla.rig import Rig

_SESSION = re.compile(r"[0-9a-f]{8}")

MARGIN_S = 0.3
"""What a driver may need to brake to rest once its command is stale, and a message to arrive."""


def new_session() -> str:
    """A name that no other session has: 8 hexadecimal digits."""
    return secrets.token_hex(4)


def encode(session: str, reset_id: str = "") -> str:
    """The `frame_id` of a session's command, made after a reset of the simulation ('' where there
    is none).
    """
    return f"{session}/{reset_id}" if session and reset_id else session or reset_id


def decode(frame_id: str) -> tuple[str, str]:
    """(session, reset id) of a command's `frame_id`; whatever does not begin with a session is a
    reset id.
    """
    session, _, reset_id = frame_id.partition("/")
    return (session, reset_id) if _SESSION.fullmatch(session) else ("", frame_id)


def silence_s(rig: Rig) -> float:
    """How long a writer is silent before it begins a new session with drivers that followed its
    last one [s].
    """
    return rig.motion.stale_s + MARGIN_S
