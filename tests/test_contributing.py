"""CONTRIBUTING's table says which files an addition takes: entries are found by the names of exactly these files."""

import re
from pathlib import Path

import pytest

from xlvla import __version__, catalog

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "CONTRIBUTING.md").is_file(), reason="not in a checkout"
)

FOUND = {
    "a hand": lambda: catalog.hands(),
    "an arm": lambda: catalog.arms(),
    "a humanoid": lambda: catalog.humanoids(),
    "a driver of a hand": lambda: catalog.drivers("hand"),
    "a driver of an arm": lambda: catalog.drivers("arm"),
    "a camera": lambda: catalog.drivers("camera"),
    "a teleoperation source": lambda: catalog.drivers("teleop"),
    "a pedal or gamepad": lambda: catalog.buttons(),
    "a task": lambda: catalog.tasks(),
    "a policy": lambda: catalog.policies(),
    "a rig": lambda: catalog.rigs(),
}
"""By row of the table: the names that are found."""


def rows():
    """What is added, and the files the table names for it."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.partition("## What do I touch to add ...")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("| a")
    ]
    return {row[0]: re.findall(r"`([^`]*NAME[^`]*)`", row[1]) for row in cells}


def test_the_table_has_a_row_for_everything_that_is_found_by_name():
    assert set(rows()) == set(FOUND)


@pytest.mark.parametrize("what", FOUND)
def test_an_entry_is_found_by_the_name_of_the_file_the_table_names(what):
    first = rows()[what][0]
    for name in FOUND[what]():
        assert (ROOT / first.replace("NAME", name)).is_file(), f"{name} is found without {first}"


@pytest.mark.parametrize("what", FOUND)
def test_every_file_the_table_names_exists_for_some_entry(what):
    for pattern in rows()[what]:
        there = [name for name in FOUND[what]() if (ROOT / pattern.replace("NAME", name)).is_file()]
        assert there, f"{pattern} exists for nothing"


def test_citation_and_changelog_have_the_version_of_the_package():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest and newest[1] == __version__


def test_every_package_says_that_it_is_typed():
    packages = [path.parent for path in (ROOT / "src").glob("*/__init__.py")]
    assert packages and all((package / "py.typed").is_file() for package in packages)
