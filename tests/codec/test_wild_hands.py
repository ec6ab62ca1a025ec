"""Hands as they come: they learn, or one line says what to mend."""

import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from safetensors.numpy import load_file
from typer.testing import CliRunner

from rows import TAUGHT
from xlvla import catalog, urdf
from xlvla.codec import Codec
from xlvla.errors import RigError, XlvlaError
from xlvla.hand import Hand
from xlvla.types import FINGERS, SIDES
from xlvla_cli import codec as commands
from xlvla_policy.latent.new_hand import NewHandTrainer, add
from xlvla_policy.latent.recipe import TIPS
from xlvla_policy.latent.soundness import require_sound
from xlvla_policy.latent.training import Trainer, train

app = typer.Typer()
commands.register(app)

WHEEL = (
    '<joint name="w" type="continuous"><parent link="palm"/><child link="wheel"/><mimic '
    'joint="index_a"/></joint>'
)
SMALL = replace(
    TIPS,
    encoder=(16,),
    decoder=(16,),
    batch=16,
    pool=2048,
    templates=16,
    steps=2,
    left_steps=1,
    settle_steps=1,
)


@dataclass(frozen=True)
class Wild:
    """A hand of somebody else's: two joints a finger, meshes that are not there, and things a codec
    has no use for.
    """

    fingers: tuple[str, ...] = FINGERS
    turn: str = "0 0 0"
    limit: str = '<limit lower="0" upper="1.6" velocity="4" effort="1"/>'
    type: str = "revolute"
    mimic: str = ""
    more: str = ""
    left_limit: str = ""

    def xml(self, side: str) -> str:
        mirror = 1 if side == "right" else -1
        first = {"e": self.limit, "a": 1}
        if side == "left" and self.left_limit:
            first = {"e": self.left_limit, "a": -1}
        fingers = "".join(self._finger(finger, mirror, first) for finger in self.fingers)
        return f"""<robot name="wild_{side}">
          <link name="flange"/><link name="palm"><visual><geometry><mesh filename="package://gone/palm.stl"/></geometry></visual></link>
          <joint name="mount" type="fixed"><parent link="flange"/><child link="palm"/><origin rpy="{self.turn}"/></joint>
          {fingers}{self.more}
          <gazebo><link name="palm"/></gazebo><transmission name="t"><joint name="index_a"/></transmission>
        </robot>"""

    def _finger(self, finger: str, mirror: int, first_joint: dict[str, object]) -> str:
        y = mirror * (0.06 - 0.03 * FINGERS.index(finger))
        z = 0.03 if finger == "thumb" else 0.1
        joint = """<joint name="{n}" type="{t}"><parent link="{p}"/><child link="{c}"/><origin
        xyz="{o}"/><axis xyz="0 {a} 0"/>{e}</joint>"""
        first = {
            "n": f"{finger}_a",
            "t": self.type,
            "p": "palm",
            "c": f"{finger}_near",
            "o": f"0 {y} {z}",
            **first_joint,
        }
        second = {
            "n": f"{finger}_b",
            "t": "revolute",
            "p": f"{finger}_near",
            "c": f"{finger}_far",
            "o": "0 0 0.05",
            "a": 1,
            "e": Wild.limit + self.mimic,
        }
        tip = {
            "n": f"{finger}_end",
            "t": "fixed",
            "p": f"{finger}_far",
            "c": f"{finger}_tip",
            "o": "0 0 0.04",
            "a": 1,
            "e": "",
        }
        links = "".join(f'<link name="{finger}_{part}"/>' for part in ("near", "far", "tip"))
        return links + "".join(joint.format(**each) for each in (first, second, tip))


def hand(tmp_path: Path, wild: Wild = Wild(), **change) -> Hand:
    for side in SIDES:
        (tmp_path / f"{side}.urdf").write_text(wild.xml(side))
    urdf.load.cache_clear()
    joints = tuple(
        f"{finger}_{joint}"
        for finger in wild.fingers
        for joint in ("a",) + ("b",) * (not wild.mimic)
    )
    tips = {finger: f"{finger}_tip" for finger in wild.fingers}
    entry = Hand("wild", "A hand", joints, tips, "palm", "none", urdf=str(tmp_path / "{side}.urdf"))  # type: ignore[arg-type]
    return replace(entry, **change)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    train(Trainer(SMALL, ("ability", "xhand")), path)
    return path


@pytest.mark.parametrize(
    "wild",
    [
        *(pytest.param(Wild(fingers=FINGERS[:n]), marks=pytest.mark.long) for n in (2, 3, 4)),
        Wild(),
        Wild(fingers=("thumb", "little")),
        Wild(mimic='<mimic joint="index_a" multiplier="0.8"/>', fingers=("thumb", "index")),
        Wild(more=f'<link name="wheel"/>{WHEEL}'),
        Wild(type="prismatic", limit='<limit lower="0" upper="0.02" velocity="1" effort="1"/>'),
    ],
    ids=[
        "two fingers",
        "three",
        "four",
        "five",
        "thumb and little",
        "mimics",
        "a continuous joint that follows",
        "sliding joints",
    ],
)
def test_a_sane_hand_learns(wild, base, tmp_path, monkeypatch):
    entry = hand(tmp_path, wild)
    require_sound(entry)
    monkeypatch.setitem(catalog.hands(), "wild", entry)
    run = NewHandTrainer(base, "wild", steps=2, recipe=SMALL)
    totals = []
    add(run, tmp_path / "more.safetensors", lambda _, losses: totals.append(losses.total.item()))
    assert len(totals) == run.trainer.steps and all(map(math.isfinite, totals))
    assert Codec.load(tmp_path / "more.safetensors").joints("wild", "left") == entry.joint_names(
        "left"
    )


SIGNED = Wild(
    limit='<limit lower="-0.3" upper="1.6" velocity="4" effort="1"/>',
    left_limit='<limit lower="-1.6" upper="0.3" velocity="4" effort="1"/>',
)
"""As many makers do: the same finger turns the other way round on the left."""


def test_a_left_hand_keeps_the_limits_that_are_its_own(base, tmp_path, monkeypatch):
    entry = hand(tmp_path, SIGNED)
    monkeypatch.setitem(catalog.hands(), "wild", entry)
    run = NewHandTrainer(base, "wild", steps=2, recipe=SMALL)
    add(run, tmp_path / "more.safetensors")
    codec = Codec.load(tmp_path / "more.safetensors")
    z = 5 * torch.randn(64, codec.latent_dim, generator=torch.Generator().manual_seed(0))
    for side, name in (("right", "wild"), ("left", "wild_left")):
        # What training decodes is what the robot decodes, and reaches the side's own limits.
        trained = run.trainer.coders[name].decode(z).detach().numpy()
        # The file keeps half of the numbers' precision.
        np.testing.assert_allclose(trained, codec.decode("wild", side, z.numpy()), atol=0.1)
        lower, upper = entry.command_range(side)
        assert (trained >= lower.astype(np.float32)).all()
        assert (trained <= upper.astype(np.float32)).all()


def test_a_left_hand_is_a_copy_of_the_right_ones_weights_and_not_of_its_limits(
    tmp_path, monkeypatch
):
    entry = hand(tmp_path, SIGNED)
    monkeypatch.setitem(catalog.hands(), "wild", entry)
    trainer = Trainer(replace(SMALL, left_steps=0, settle_steps=0), ("wild", "xhand"))
    list(trainer.run())
    right = dict(trainer.coders["wild"].named_parameters())
    for name, parameter in trainer.coders["wild_left"].named_parameters():
        assert torch.equal(parameter, right[name])
    lower, upper = entry.command_range("left")
    decoded = trainer.coders["wild_left"].decode(1e4 * torch.randn(256, SMALL.latent))
    np.testing.assert_allclose(decoded.amin(0).detach(), lower, atol=1e-4)
    np.testing.assert_allclose(decoded.amax(0).detach(), upper, atol=1e-4)


def test_both_sides_of_a_codec_are_measured_and_hands_that_are_not_loaded_are_named(
    base, tmp_path, monkeypatch
):
    monkeypatch.setitem(catalog.hands(), "wild", hand(tmp_path, SIGNED))
    weights = tmp_path / "more.safetensors"
    add(NewHandTrainer(base, "wild", steps=2, recipe=SMALL), weights)
    monkeypatch.undo()
    words = f"codec eval --weights {weights} --poses 8 --no-limits".split()
    done = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, words)
    assert done.exit_code == 0, done.output
    for side in SIDES:
        assert f"{side} hands, 8 poses" in done.stdout
        assert f"{side} hands: source > target" in done.stdout
    assert "set XLVLA_HANDS to the folder with wild.py" in done.stderr
    # Nothing of the hand that is not loaded is lost when one more is added.
    add(NewHandTrainer(weights, "inspire", steps=2, recipe=SMALL), tmp_path / "two.safetensors")
    before = load_file(weights)
    after = load_file(tmp_path / "two.safetensors")
    assert all(np.array_equal(after[name], tensor) for name, tensor in before.items())
    assert Codec.load(tmp_path / "two.safetensors").missing == ("wild",)


def test_device_limits_that_leave_no_range_are_named(tmp_path):
    limits = {"index_a": (2.0, 3.0)}
    with pytest.raises(RigError, match="limits of joint 'index_a' leave it no range"):
        require_sound(hand(tmp_path, device_limits=limits))


def test_a_hand_without_a_finger_in_common_with_those_of_the_codec_is_refused(
    tmp_path, monkeypatch
):
    four_fingers = tmp_path / "four.safetensors"
    train(Trainer(replace(SMALL, clear=0.0, patience=0), ("allegro", "paxini")), four_fingers)
    entry = hand(tmp_path, Wild(fingers=("thumb", "little")))
    monkeypatch.setitem(catalog.hands(), "wild", entry)
    with pytest.raises(XlvlaError, match="has two fingers that 'wild' has too"):
        NewHandTrainer(four_fingers, "wild", steps=2, recipe=SMALL)


LINK = '<link name="extra"/>'
FAULTS = {
    "hand wild (right): joint 'index_a' has no limits: add <limit": Wild(limit=""),
    "hand wild (right): joint 'index_a' is continuous and has no limits to encode between: make it "
    "revolute": Wild(type="continuous", limit=""),
    "joint 'index_a' has limits 1 and 0, the lower must be": Wild(
        limit='<limit lower="1" upper="0" velocity="1" effort="1"/>'
    ),
    "joint 'index_a' has the velocity limit 0, it must be above 0": Wild(
        limit='<limit lower="0" upper="1" velocity="0" effort="1"/>'
    ),
    "turns to 90 rad, more than a full turn: URDF limits are in radians": Wild(
        limit='<limit lower="0" upper="90" velocity="9" effort="1"/>'
    ),
    "its fingers do not reach along the root's +z": Wild(turn="1.5708 0 0"),
    "its fingers do not curl towards the root's +x": Wild(turn="0 0 3.14159"),
    "has two links named 'index_tip': rename one": Wild(more='<link name="index_tip"/>'),
    "has two joints named 'index_a': rename one": Wild(
        more=LINK
        + '<joint name="index_a" type="fixed"><parent link="palm"/><child link="extra"/></joint>'
    ),
    "must have one root link, it has 2: flange, extra": Wild(more=LINK),
    "unknown link 'plam': known are flange, palm": Wild(
        more=LINK
        + '<joint name="x" type="fixed"><parent link="plam"/><child link="extra"/></joint>'
    ),
    "link 'index_near' of": Wild(
        more='<joint name="x" type="fixed"><parent link="palm"/><child link="index_near"/></joint>'
    ),
    "is in a loop of joints": Wild(
        more=LINK + '<link name="e"/><joint name="x" type="fixed"><parent link="e"/><child '
        'link="extra"/></joint>'
        '<joint name="y" type="fixed"><parent link="extra"/><child link="e"/></joint>'
    ),
    "mimics an unknown moving joint 'indx_a': known are": Wild(mimic='<mimic joint="indx_a"/>'),
    "follows itself through its mimics": Wild(mimic='<mimic joint="index_b"/>'),
    "upper is 'wide', needed is a finite number": Wild(limit='<limit lower="0" upper="wide"/>'),
    "rpy is '0 0', needed are 3 finite numbers": Wild(turn="0 0"),
    "is of the unknown type 'revolut': known are revolute": Wild(type="revolut"),
    "size of a box of link 'extra' is 'a b', needed are 3 finite numbers": Wild(
        more='<link name="extra"><collision><geometry><box size="a '
        'b"/></geometry></collision></link>'
        '<joint name="x" type="fixed"><parent link="palm"/><child link="extra"/></joint>'
    ),
    "radius of a sphere of link 'extra' is '', needed is a finite number": Wild(
        more='<link name="extra"><collision><geometry><sphere/></geometry></collision></link>'
        '<joint name="x" type="fixed"><parent link="palm"/><child link="extra"/></joint>'
    ),
    "is a xacro template: expand it first": Wild(turn="${pi} 0 0"),
    "is not well-formed XML": Wild(more="<link>"),
    "free joint 'free' of the URDF is missing from the entry": Wild(
        more=LINK + '<joint name="free" type="revolute"><parent link="palm"/><child '
        f'link="extra"/>{Wild.limit}</joint>'
    ),
}


@pytest.mark.parametrize("said", FAULTS)
def test_a_urdf_that_cannot_be_taught_says_why_in_one_line(said, tmp_path):
    with pytest.raises(RigError) as caught:
        require_sound(hand(tmp_path, FAULTS[said]))
    assert any(said in fault for fault in caught.value.faults), caught.value.faults
    assert all("\n" not in fault for fault in caught.value.faults)


ENTRIES = {
    "link 'index_tipp' is not in the URDF; did you mean 'index_tip'?": {
        "tips": {"thumb": "thumb_tip", "index": "index_tipp"}
    },
    "no commanded joint moves 'palm', it cannot be the tip of the index": {
        "tips": {"thumb": "thumb_tip", "index": "palm"}
    },
    "two fingers have the tip 'ring_tip'": {
        "tips": {"thumb": "thumb_tip", "ring": "ring_tip", "little": "ring_tip"}
    },
    "tips need a thumb and a finger to pinch with, they name index": {
        "tips": {"index": "index_tip"}
    },
    "'pinky' is no finger, known are thumb, index": {
        "tips": {"thumb": "thumb_tip", "pinky": "little_tip"}
    },
    "joint 'sixth' is not a free joint of": {"joints": ("sixth",)},
    "joint 'index_a' is named twice": {"joints": ("index_a", "index_a")},
    "joints is the text 'index_a', a tuple of names is needed": {"joints": "index_a"},
    "link 'plam' is not in the URDF; did you mean 'palm'?": {"palm": "plam"},
    "no URDF at": {"urdf": "nowhere/{side}.urdf"},
}


@pytest.mark.parametrize("said", ENTRIES)
def test_an_entry_that_cannot_be_taught_says_why_in_one_line(said, tmp_path):
    with pytest.raises(RigError) as caught:
        require_sound(hand(tmp_path, **ENTRIES[said]))
    assert any(said in fault for fault in caught.value.faults), caught.value.faults


ENTRY = """from pathlib import Path
from xlvla.hand import Hand
HAND = Hand("{name}", "Mine", {joints}, {tips}, "palm", "none", urdf=str(Path(__file__).parent /
"{{side}}.urdf"))
"""


def on_the_command_line(folder: Path, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from xlvla_cli.app import main; main()", *words]
    return subprocess.run(
        command, env={**os.environ, "XLVLA_HANDS": str(folder)}, capture_output=True, text=True
    )


def test_an_entry_in_a_folder_of_ones_own_is_a_hand_of_the_catalogue_and_its_fault_is_one_line(
    tmp_path, monkeypatch
):
    entry = hand(tmp_path)
    tips = {**entry.tips, "index": "index_tipp"}
    (tmp_path / "mine.py").write_text(ENTRY.format(name="mine", joints=entry.joints, tips=tips))
    monkeypatch.setenv("XLVLA_HANDS", str(tmp_path))
    catalog.hands.cache_clear()
    assert "mine" in catalog.hands()
    monkeypatch.undo()
    catalog.hands.cache_clear()
    done = on_the_command_line(
        tmp_path, "codec", "add", "mine", "--out", str(tmp_path / "more.safetensors")
    )
    lines = [
        f"hand mine ({side}): link 'index_tipp' is not in the URDF; did you mean 'index_tip'?"
        for side in ("left", "right")
    ]
    assert (done.returncode, done.stderr.split("\n")[:2]) == (2, [f"xlvla: {lines[0]}", lines[1]])


WRONG_FILES = {
    "cannot be read: SyntaxError": "HAND = Hand(",
    "is no hand: it needs `HAND = xlvla.hand.Hand": "x = 1",
    "missing 5 required positional arguments": "from xlvla.hand import Hand\nHAND = Hand('mine')",
    "is named 'other': name it 'mine', as its file": ENTRY.format(name="other", joints=(), tips={}),
}


@pytest.mark.parametrize("said", WRONG_FILES)
def test_an_entry_file_that_is_no_hand_is_named(said, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(WRONG_FILES[said])
    monkeypatch.setenv("XLVLA_HANDS", str(tmp_path))
    catalog.hands.cache_clear()
    with pytest.raises(XlvlaError, match=re.escape(said)):
        catalog.hand("mine")
    monkeypatch.undo()
    catalog.hands.cache_clear()


def test_a_urdf_that_is_not_text_is_named(tmp_path):
    (tmp_path / "left.urdf").write_bytes(b"\xff\xfe\x00solid")
    with pytest.raises(XlvlaError, match=r"left\.urdf is no URDF: it is not text"):
        urdf.load(tmp_path / "left.urdf")


def test_left_and_right_in_each_others_place_are_noticed(tmp_path):
    entry = hand(tmp_path)
    left, right = (tmp_path / f"{side}.urdf" for side in SIDES)
    contents = left.read_text(), right.read_text()
    right.write_text(contents[0]), left.write_text(contents[1])
    urdf.load.cache_clear()
    with pytest.raises(
        RigError,
        match=r"its thumb is not on the root's -y side: .* or swap left\.urdf and right\.urdf",
    ):
        require_sound(entry)


def test_a_gripper_that_closes_on_the_wrong_side_is_noticed(tmp_path):
    two = Wild(fingers=("thumb", "index"))
    require_sound(hand(tmp_path, two))
    with pytest.raises(RigError, match=r"its fingers do not curl towards the root's \+x"):
        require_sound(hand(tmp_path, replace(two, turn="0 0 3.14159")))


def test_what_is_no_urdf_at_all_is_named():
    with pytest.raises(XlvlaError, match="is no URDF: its outermost element is <mujoco>"):
        urdf.parse("<mujoco/>")


@pytest.mark.parametrize("name", catalog.hands())
def test_every_hand_of_the_catalogue_is_sound(name):
    require_sound(catalog.hand(name))


@pytest.mark.parametrize("name", [name for name in catalog.hands() if name not in TAUGHT])
def test_a_hand_of_the_catalogue_that_the_codec_does_not_know_learns(name, base, tmp_path):
    totals = []
    run = NewHandTrainer(base, name, steps=2, recipe=SMALL)
    add(run, tmp_path / "more.safetensors", lambda _, losses: totals.append(losses.total.item()))
    assert len(totals) == run.trainer.steps and all(map(math.isfinite, totals))
    codec = Codec.load(tmp_path / "more.safetensors")
    for side in SIDES:
        lower, upper = catalog.hand(name).command_range(side)
        pose = (lower + upper) / 2
        assert codec.decode(name, side, codec.encode(name, side, pose)).shape == pose.shape
