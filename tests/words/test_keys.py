"""Keys at the terminal."""

from __future__ import annotations

import io
import os
import pty
import sys
import termios
import time

from xlvla_cli.keys import Keys


def test_keys_are_read_one_by_one_without_waiting_for_a_line_and_the_terminal_is_left_as_it_was(
    monkeypatch,
):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        before = termios.tcgetattr(terminal)
        with Keys() as keys:
            assert keys.there and keys.pressed() == ""
            os.write(ours, b"e ")
            pressed = ""
            give_up = time.monotonic() + 5
            while len(pressed) < 2 and time.monotonic() < give_up:
                pressed += keys.pressed()
            assert pressed == "e "
        assert termios.tcgetattr(terminal) == before
    os.close(ours)


def test_where_there_is_no_terminal_there_are_no_keys(monkeypatch):
    read, write = os.pipe()
    with os.fdopen(read) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        os.write(write, b"e")
        with Keys() as keys:
            assert not keys.there and keys.pressed() == ""
    os.close(write)


def test_an_input_that_is_no_file_has_no_keys(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("e"))
    with Keys() as keys:
        assert keys.pressed() == ""
