"""Short tones that tell an operator, whose eyes are elsewhere, what became of an order."""

from __future__ import annotations

import math
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence

RATE_HZ = 16_000
TONE_S = 0.12
VOLUME = 0.3

TONES: dict[str, Sequence[int]] = {
    "start": (660, 880),
    "stop": (880, 660),
    "ask": (660, 0, 660),
    "discard": (440, 330),
    "undo": (330, 440),
    "relabel": (660, 660),
    "success": (660, 880, 1320),
    "failure": (330, 220),
    "warn": (220, 0, 220),
    "bad": (880, 220, 220),
    "error": (180, 180),
}
"""Frequencies [Hz] by a cue's word, one after the other; 0 is a pause. A word that is not here is
one tone.
"""

_PLAYING = threading.Semaphore(4)
"""A flood of cues makes no more noise than a few."""

_PLAYERS = (
    ("paplay", "--raw", "--format=s16le", f"--rate={RATE_HZ}", "--channels=1"),
    ("aplay", "-q", "-t", "raw", "-f", "S16_LE", "-r", str(RATE_HZ), "-c", "1"),
)


def play(word: str) -> None:
    """Plays a cue's tones and does not wait for their end; the terminal's bell where nothing plays
    sound, as over SSH.
    """
    player = next((command for command in _PLAYERS if shutil.which(command[0])), None)
    if player is None:
        _bell()
    elif _PLAYING.acquire(blocking=False):
        threading.Thread(
            target=_play, args=(player, samples(TONES.get(word, (550,)))), daemon=True
        ).start()


def samples(tones: Sequence[int]) -> bytes:
    """Tones as signed 16 bit numbers, each faded in and out so that it does not click."""
    count = round(TONE_S * RATE_HZ)
    swell = [VOLUME * math.sin(math.pi * i / count) for i in range(count)]
    wave = [
        swell[i] * math.sin(2 * math.pi * hz * i / RATE_HZ) for hz in tones for i in range(count)
    ]
    return struct.pack(f"<{len(wave)}h", *(round(32767 * value) for value in wave))


def _play(player: Sequence[str], data: bytes) -> None:
    try:
        done = subprocess.run(
            player,
            input=data,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=5.0,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    finally:
        _PLAYING.release()
    if done.returncode:  # a player, but no loudspeaker
        _bell()


def _bell() -> None:
    # What shows a changing line stands in for sys.stdout, and would keep a bell until a line ends.
    terminal = sys.__stdout__
    if terminal is not None and terminal.isatty():
        terminal.write("\a")
        terminal.flush()
