"""The generated pages of the documentation hold what they are about: commands, rigs, devices, topics, error lines."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

import xlvla_cli
from xlvla import catalog, rig_file
from xlvla.rig import Rig
from xlvla.ros.wiring import wiring
from xlvla.types import PARTS, SIDES, SOURCES
from xlvla_cli.app import app
from xlvla_cli.commands import register_all

ROOT = Path(__file__).parents[1]
GENERATORS = ROOT / "docs" / "generators"

pytestmark = pytest.mark.skipif(not GENERATORS.is_dir(), reason="not in a checkout")

PROGRAM = """
import json, sys
import api, commands, devices, errors, graph, repository, rigs
pages = {}
for generator in (api, commands, devices, errors, graph, repository, rigs):
    pages |= generator.pages()
json.dump(pages, sys.stdout)
"""


@pytest.fixture(scope="module")
def pages():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=GENERATORS, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_command_that_help_names_has_a_section(pages):
    help_text = subprocess.run(
        [sys.executable, "-m", "xlvla", "data", "--help"],
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    for command in (
        "check",
        "convert",
        "import",
        "merge",
        "recordings",
        "repair",
        "show",
        "split",
        "stats",
    ):
        assert command in help_text
        assert f"\n## xlvla data {command} " in pages["reference/commands/data.md"]
    assert "`xlvla run`" in pages["reference/commands/index.md"]
    assert "`--left-hand`" in pages["reference/commands/single.md"]


def test_every_key_of_a_rig_is_listed_with_its_meaning(pages):
    page = pages["reference/rig.md"]
    for field in dataclasses.fields(Rig):
        assert f"| `{field.name}` |" in page
    assert "| `teleport_rad` | number from 0.01 to 1 | `0.5` | how far" in page


def test_every_device_with_a_driver_is_listed(pages):
    page = pages["reference/devices.md"]
    for kind in ("arm", "hand", "camera", "teleop"):
        for name in catalog.drivers(kind):
            assert f"{{ #{kind}-{name} }}" in page
    for name in catalog.buttons():
        assert f"| `{name}` |" in page


@pytest.mark.parametrize("name", catalog.rigs())
def test_every_topic_and_service_of_a_shipped_rig_is_listed(pages, name):
    loaded = rig_file.load(name)
    page = pages["reference/graph.md"]
    for camera in loaded.cameras:
        page = page.replace("{camera}", camera)
    known = {
        page.replace("{side}", side).replace("{part}", part).replace("{source}", source)
        for side in SIDES
        for part in PARTS
        for source in SOURCES
    }
    for wires in wiring(loaded).values():
        for group in vars(wires).values():
            for entry in group:
                assert any(f"`{entry.name}`" in text for text in known), f"{entry.name} is missing"


def test_a_line_that_refuses_something_is_found_by_its_words(pages):
    assert "is not a safetensors file" in pages["reference/errors.md"]
    assert "has no `sim` section" in pages["reference/errors.md"].replace("\\", "")


def test_links_of_readme_lead_to_pages_of_the_site(pages):
    assert "](docs/" not in pages["index.md"]
    assert "](start/install.md)" in pages["index.md"]
    assert "](howto/hand.md)" in pages["contributing.md"]


def shown_commands():
    """The words after `xlvla` of every command that a page shows, with the page's name."""
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text().replace("\\\n", " ")
        lines = re.findall(r"`(xlvla [^`\n]*)`", text)
        for block in re.findall(r"^ *```\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
            lines += block.splitlines()
        for line in lines:
            for command in line.partition(" #")[0].split(";"):
                words = command.split()
                if "xlvla" in words and "launch" not in words:
                    yield page.name, words[words.index("xlvla") + 1 :]


def command_of(command, words):
    """The command that words name below another one, and the words that are left for it."""
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def test_every_command_the_documentation_shows_exists_with_its_options():
    register_all(xlvla_cli.__name__, xlvla_cli.__path__, app)
    root = typer.main.get_command(app)
    unknown = []
    for page, words in shown_commands():
        command, left = command_of(root, words)
        known = {"--help"}
        for parameter in command.params:
            known.update([*parameter.opts, *parameter.secondary_opts])
        is_group = bool(getattr(command, "commands", {}))
        if is_group and left and left[0].islower():
            unknown.append(f"{page}: no command {left[0]} in: xlvla {' '.join(words)}")
        for word in left:
            if word.startswith("--") and word not in known:
                unknown.append(f"{page}: no option {word} in: xlvla {' '.join(words)}")
    assert not unknown
