"""What the libraries themselves write, LeRobot's recorder and edit tools and rosbag2's two storages,
all the way: imported or converted, checked, drawn and trained on.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rosbags")
pytest.importorskip("torch")

import typer
import yaml
from made_episodes import WIDTH, picture, run
from rosbags.rosbag2 import StoragePlugin
from sets_of_others import JOINTS
from test_convert_foreign_bags import MAP, record
from typer.testing import CliRunner

from xlvla import catalog, rig_file
from xlvla_cli import train
from xlvla_cli.check import installation_faults
from xlvla_data import store
from xlvla_data.episode import Episode
from xlvla_data.lerobot import layout

FRAMES = 120
FPS = 30
STEPS = 10
BODIES = ("--hands", "left=inspire,right=inspire", "--arms", "left=xarm7,right=xarm7")
SENTENCES = ("Open the box.", "Take the can.", "Close the box.")
VECTOR = {"dtype": "float32", "shape": (len(JOINTS),), "names": JOINTS}


def pose(frame: int, seed: int) -> np.ndarray:
    """The joints at a frame: slow, and within what arms and hands can do."""
    return np.full(len(JOINTS), 0.3 + 0.1 * np.sin(frame / FPS + seed), np.float32)


def train_on(folder, out) -> None:
    """Trains a tiny policy for ten steps on a data set, by the command."""
    app = typer.Typer()
    train.register(app)
    options = ["--preset", "tiny", "--steps", str(STEPS), "--batch", "2", "--threads", "1"]
    options += [
        "--cameras",
        "front",
        "--draws",
        "1",
        "--held-out",
        "0",
        "--cache",
        str(out / "kept"),
    ]
    weights = out / "policy.safetensors"
    asked = ["train", "policy", "--data", str(folder), "--out", str(weights), *options]
    done = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, asked)
    assert done.exit_code == 0, (done.output, done.exception)
    assert f"{STEPS} steps" in weights.with_suffix(".md").read_text()


def goes_all_the_way(folder, out) -> list[Episode]:
    """A data set of ours is sound, has its page, and trains a policy; its episodes."""
    text, code = run("check", folder)
    assert code == 0, text
    text, code = run("show", folder, "--out", out / "page")
    assert code == 0 and list((out / "page").glob("report.html")), text
    train_on(folder, out)
    return [stored.read() for stored in store.find(folder)]


def lerobot_set(root, *, use_videos=True, more=None, episodes=2, sentences=lambda frame: "Push."):
    """A set by LeRobot's own recorder: two arms with hands and a camera; `more` are further features
    with what every frame has of them.
    """
    lerobot = pytest.importorskip("lerobot.datasets.lerobot_dataset")
    size = {"shape": (48, WIDTH, 3), "names": ["height", "width", "channels"]}
    kind = "video" if use_videos else "image"
    features = {
        layout.STATE: VECTOR,
        layout.ACTION: VECTOR,
        f"{layout.IMAGES}front": {"dtype": kind, **size},
    }
    more = more or {}
    features |= {key: feature for key, (feature, _) in more.items()}
    data = lerobot.LeRobotDataset.create(
        "lab/theirs", FPS, features, root=root, use_videos=use_videos, vcodec="h264"
    )
    for seed in range(episodes):
        for frame in range(FRAMES):
            told = {
                layout.STATE: pose(frame, seed),
                layout.ACTION: pose(frame + 1, seed),
                f"{layout.IMAGES}front": np.ascontiguousarray(picture(frame, seed)),
                "task": sentences(frame),
            }
            data.add_frame(told | {key: of(frame) for key, (_, of) in more.items()})
        data.save_episode()
    data.finalize()
    return data


MORE = {
    "pressed": ({"dtype": "bool", "shape": (1,), "names": None}, lambda f: np.array([f % 2 == 0])),
    "note": ({"dtype": "string", "shape": (1,), "names": None}, lambda f: f"frame {f}"),
    "force": (
        {"dtype": "float32", "shape": (2, 3), "names": None},
        lambda f: np.full((2, 3), f, np.float32),
    ),
}


@pytest.mark.parametrize("use_videos", [True, False], ids=["videos", "pictures in tables"])
def test_a_set_of_lerobots_recorder_is_trained_on(tmp_path, use_videos):
    lerobot_set(
        tmp_path / "theirs",
        use_videos=use_videos,
        more=MORE,
        sentences=lambda frame: SENTENCES[frame * len(SENTENCES) // FRAMES],
    )
    text, code = run("import", tmp_path / "theirs", "--to", tmp_path / "to", *BODIES)
    assert code == 0 and "left out: note (of type 'string')" in text, text
    episodes = goes_all_the_way(tmp_path / "to", tmp_path)
    assert sorted(read.info.instruction for read in episodes) == sorted(2 * SENTENCES)
    for read in episodes:
        assert {"pressed", "force"} <= set(read.others)


@pytest.mark.long
def test_a_set_that_lerobots_edit_tools_wrote_anew_is_trained_on(tmp_path):
    whole = lerobot_set(tmp_path / "whole", episodes=3)
    tools = pytest.importorskip("lerobot.datasets.dataset_tools")
    tools.delete_episodes(whole, [1], output_dir=tmp_path / "fewer", repo_id="lab/fewer")
    text, code = run("import", tmp_path / "fewer", "--to", tmp_path / "to", *BODIES)
    assert code == 0, text
    firsts = [
        read.measured["left"]["arm"][0, 0] for read in goes_all_the_way(tmp_path / "to", tmp_path)
    ]
    assert np.allclose(firsts, [pose(0, 0)[0], pose(0, 2)[0]], atol=1e-3)


@pytest.mark.parametrize(
    "storage",
    [StoragePlugin.MCAP, pytest.param(StoragePlugin.SQLITE3, marks=pytest.mark.long)],
)
def test_a_bag_of_one_arm_is_trained_on(tmp_path, storage):
    record(tmp_path / "bags/monday", storage)
    mapped = tmp_path / "map.yaml"
    mapped.write_text(yaml.safe_dump(MAP))
    text, code = run("convert", tmp_path / "bags", "--to", tmp_path / "to", "--map", mapped)
    assert code == 0, text
    (read,) = goes_all_the_way(tmp_path / "to", tmp_path)
    assert read.info.instruction == "Push."
    weights = tmp_path / "policy.safetensors"
    bimanual = yaml.safe_load(catalog.rigs()["bimanual"].read_text())
    station = {**bimanual["sides"]["right"], "hand": {"type": "inspire"}}
    policy = {**bimanual["policy"], "checkpoint": str(weights)}
    document = {**bimanual, "sides": {"right": station}, "policy": policy}
    assert installation_faults(rig_file.from_document(document, "one arm")) == []
