"""Text of strangers on a terminal and in a log."""

from __future__ import annotations

import io

import pytest
from rich.table import Table

from xlvla.errors import RigError, XlvlaError
from xlvla.screen import Plain, Screen, number, rig_line, styled
from xlvla.text import MOST, RepeatFilter, plain, plain_lines, uncoloured
from xlvla_cli import app as cli

STRANGE = "box [a] and [/b]\n\x1b[1mERROR: all is well\x07 \u202eabc"


def shown(put) -> str:
    file = io.StringIO()
    put(Plain(file=file, width=200, force_terminal=True, color_system="truecolor"))
    return file.getvalue()


def test_what_moves_a_cursor_or_breaks_a_line_is_spelled_out_and_all_else_stays():
    said = plain(STRANGE)
    assert said.isprintable()
    assert said == "box [a] and [/b]\\n\\x1b[1mERROR: all is well\\x07 \\u202eabc"
    assert plain("日本語\u3000のはこ é µm") == "日本語\u3000のはこ é µm"
    assert plain("\udc80") == "\\udc80"


def test_a_line_of_a_stranger_is_no_longer_than_it_may_be():
    assert len(plain("x" * 3_000_000)) == 400
    assert plain("x" * 400) == "x" * 400


def test_own_lines_keep_their_breaks():
    assert plain_lines("one\ntwo\x1b") == "one\ntwo\\x1b"


@pytest.mark.parametrize(
    "put",
    [
        lambda console: console.print(STRANGE),
        lambda console: Screen(console).say(STRANGE),
        lambda console: Screen(console).say(("episode", "bold"), f": {STRANGE}"),
        lambda console: Screen(console).on_output("motion", f"WARN: {STRANGE}"),
        lambda console: Screen(console).on_output("motion", STRANGE),
        lambda console: console.print(styled((STRANGE, "red"))),
        lambda console: console.print(table(STRANGE)),
    ],
)
def test_no_code_and_no_markup_of_a_stranger_reaches_the_terminal(put):
    said = shown(put)
    assert (
        "\\x1b[1m" in said
        and "\x1b[1mERROR" not in said
        and "\x07" not in said
        and "\u202e" not in said
    )
    assert "box [a] and [/b]" in said


def table(text: str) -> Table:
    made = Table("column", title=text)
    made.add_row(text)
    return made


def test_a_line_that_a_stranger_broke_is_one_line_of_the_screen():
    assert shown(lambda console: Screen(console).say(STRANGE)).count("\n") == 1


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (XlvlaError(f"no hand '{STRANGE}'"), 1),
        (RigError(["arm: lost", f"hand: '{STRANGE}'"]), 2),
        (XlvlaError("[b]"), 1),
    ],
)
def test_an_error_is_told_in_lines_of_our_own(error, lines, monkeypatch, capsys):
    def fails(prog_name: str) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fails)
    monkeypatch.setattr(cli, "register_all", lambda package, folder, app: None)
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().err
    assert said.count("\n") == lines and said.replace("\n", "").isprintable()


@pytest.mark.parametrize("told", ["nan", "inf", "fast", "", "1e999"])
def test_a_figure_that_is_no_number_is_not_shown(told):
    assert number({"control [Hz]": told}, "control [Hz]") is None
    assert "control" not in rig_line({}, {"motion": {"": "ok", "control [Hz]": told}})


def test_the_same_is_said_now_and_then_and_a_flood_of_different_things_ends():
    now_s = 0.0
    repeat_filter = RepeatFilter(lambda: now_s)
    assert [repeat_filter("a") for _ in range(5)] == [True] + [False] * 4
    assert repeat_filter("b")
    assert sum(repeat_filter(str(number)) for number in range(1000)) == MOST - 2
    now_s = 2.5
    assert repeat_filter("a")


def test_colours_of_a_librarys_log_are_left_out_and_nothing_else_is():
    assert (
        uncoloured("\x1b[37;1mtime \x1b[31;1m[\x1b[37;1mSHM\x1b[m] failed\x1b[2J")
        == "time [SHM] failed\x1b[2J"
    )
