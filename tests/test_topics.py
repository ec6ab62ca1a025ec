"""A topic is renamed in one line: the graph, the recorder and the converter follow."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from xlvla import topics

ROOT = Path(__file__).parents[1]

ASKED = """
import json, sys
from pathlib import Path
import made_episodes
from xlvla import rig_file
from xlvla.ros.wiring import wiring
from xlvla_data import bagged
from xlvla_data import recorded
from xlvla_data.bag.reader import Bag
from xlvla_data.ros.streams import streams

rig = rig_file.load("teleop_scripted")
wires = wiring(rig).values()
bag = Bag(bagged.write(made_episodes.touched(made_episodes.episode(0)), Path(sys.argv[1]) / "episode"))
taken = recorded.take(bag, 20)
print(json.dumps({
    "graph": sorted({topic.name for wire in wires for topic in (*wire.publishes, *wire.subscribes)}),
    "recorder": {stream.topic.name: [stream.kind, stream.of] for _, stream in streams(rig)},
    "bag": sorted(bag.topics),
    "converter": [
        len(taken.cameras["front"].stamps), len(taken.command["left"]["arm"].stamps), len(taken.state["left"]["hand"].stamps),
        sorted(taken.others),
    ],
}))
"""


def answers(source: Path, folder: Path) -> dict:
    """What the graph, the recorder and the converter of a source tree say."""
    paths = [source, ROOT / "tests" / "data", ROOT / "tests"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    asked = subprocess.run(
        [sys.executable, "-c", ASKED, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    return json.loads(asked.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def before(tmp_path_factory) -> dict:
    return answers(ROOT / "src", tmp_path_factory.mktemp("before"))


@pytest.mark.parametrize(
    ("line", "renamed", "old", "new"),
    [
        (
            'COMMAND = "/{side}/{part}/command"',
            'COMMAND = "/{side}/{part}/order"',
            r"^/(\w+)/(\w+)/command$",
            r"/\1/\2/order",
        ),
        (
            'IMAGE = "/cameras/{camera}/image_raw"',
            'IMAGE = "/eyes/{camera}/rgb"',
            "^/cameras/front/image_raw",
            "/eyes/front/rgb",
        ),
        (
            'OPERATOR_WRIST = "/teleop/{side}/wrist"',
            'OPERATOR_WRIST = "/person/{side}"',
            r"^/teleop/(\w+)/wrist$",
            r"/person/\1",
        ),
    ],
    ids=["command", "image", "wrist"],
)
def test_a_topic_that_is_renamed_in_one_line_is_renamed_everywhere(
    tmp_path, before, line, renamed, old, new
):
    source = tmp_path / "src"
    shutil.copytree(
        ROOT / "src", source, copy_function=os.symlink, ignore=shutil.ignore_patterns("__pycache__")
    )
    table = source / "xlvla" / "topics.py"
    text = table.read_text()
    assert text.count(f"\n{line}\n") == 1
    table.unlink()
    table.write_text(text.replace(f"\n{line}\n", f"\n{renamed}\n"))

    after = answers(source, tmp_path)
    assert after["graph"] == sorted(re.sub(old, new, name) for name in before["graph"])
    assert after["recorder"] == {
        re.sub(old, new, name): judged for name, judged in before["recorder"].items()
    }
    assert after["bag"] == sorted(re.sub(old, new, name) for name in before["bag"])
    assert after["converter"] == before["converter"]
    assert all(before[who] != after[who] for who in ("graph", "recorder", "bag"))


def test_a_name_tells_what_its_template_stands_for():
    assert topics.match(topics.PART_JOINT_STATES, "/left/hand/joint_states") == {
        "side": "left",
        "part": "hand",
    }
    assert topics.match(topics.IMAGE, "/cameras/front/image_raw/compressed") is None
    assert topics.match(topics.COMPRESSED, "/cameras/front/image_raw/compressed") == {
        "camera": "front"
    }
    assert topics.match(topics.COMMAND, "/left/arm/command_dry") is None
    assert (
        topics.match(topics.CLOCK, "/clock") == {} and topics.match(topics.CLOCK, "/clocks") is None
    )
