"""Policies of one's own: a file in a folder that XLVLA_POLICIES names."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from xlvla import catalog, rig_file
from xlvla.errors import RigError, XlvlaError
from xlvla.policy import Observation
from xlvla_cli import eval as evaluation
from xlvla_cli.eval.trial import policy_code_digest

app = typer.Typer()
app.callback()(lambda: None)
evaluation.register(app)

STILL = """from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from xlvla.policy import Chunk
from xlvla.rig import Rig

@dataclass
class Still:
    rig: Rig
    threads: int
    frames: int = 10
    rate_hz: float = 20.0

    def predict(self, observation):
        last = {
            side: {part: np.repeat(rows[-1:], self.frames, axis=0) for part, rows in parts.items()}
            for side, parts in observation.executed.items()
        }
        return Chunk(observation.stamp_ns, self.rate_hz, last, {})

def load(rig, *, threads=1):
    return Still(rig, threads)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "still.py").write_text(STILL)
    monkeypatch.setenv("XLVLA_POLICIES", str(tmp_path))
    return tmp_path


def test_a_file_in_the_folder_is_a_policy_of_the_catalogue(folder):
    rig = rig_file.with_choices(rig_file.load("bimanual"), policy="still")
    policy = catalog.policy("still")(rig, threads=2)
    executed = {
        side: {part: np.ones((64, len(rig.joint_names(side, part)))) for part in ("arm", "hand")}
        for side in rig.sides
    }
    chunk = policy.predict(Observation(5, {}, "Wait.", executed))
    assert (policy.threads, chunk.stamp_ns, chunk.positions["left"]["hand"].shape) == (
        2,
        5,
        (10, 12),
    )


def test_without_the_folder_its_name_is_unknown(folder, monkeypatch):
    monkeypatch.delenv("XLVLA_POLICIES")
    with pytest.raises(
        RigError, match=r"policy\.type: unknown policy 'still': known are openpi, ten_tasks, xlvla"
    ):
        rig_file.with_choices(rig_file.load("bimanual"), policy="still")
    with pytest.raises(XlvlaError, match="unknown policy 'still'"):
        catalog.policy("still")


def test_of_two_folders_the_later_one_wins_and_both_are_listed(
    folder, tmp_path_factory, monkeypatch
):
    other = tmp_path_factory.mktemp("other")
    (other / "still.py").write_text("def load(rig, *, threads=1):\n    return 'the later one'\n")
    (other / "second.py").write_text(STILL)
    (other / "_note.py").write_text("no entry")
    monkeypatch.setenv("XLVLA_POLICIES", os.pathsep.join([str(folder), str(other)]))
    assert catalog.policies() == ("openpi", "ten_tasks", "xlvla", "still", "second")
    assert catalog.policy("still")(None) == "the later one"


WRONG = {
    "cannot be read: SyntaxError": "def load(",
    "cannot be read: ModuleNotFoundError: No module named 'nowhere'": "import nowhere",
    "is no policy: it needs `def load(rig, *, threads=1)`": "POLICY = 1",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_file_that_is_no_policy_says_why_in_one_line(folder, line):
    (folder / "still.py").write_text(WRONG[line])
    with pytest.raises(XlvlaError, match=re.escape(line)) as caught:
        catalog.policy("still")
    assert "\n" not in str(caught.value) and str(folder / "still.py") in str(caught.value)


def test_a_folder_that_is_not_there_is_named(folder, monkeypatch):
    monkeypatch.setenv("XLVLA_POLICIES", str(folder / "elsewhere"))
    with pytest.raises(XlvlaError, match=r"XLVLA_POLICIES names .*elsewhere, which is no folder"):
        catalog.policies()


def test_it_is_evaluated_by_its_name(folder):
    words = f"eval --policy still --hands inspire --trials 1 --videos none --out {folder / 'out'}"
    policy_code_digest.cache_clear()
    done = CliRunner().invoke(app, words.split())
    policy_code_digest.cache_clear()
    assert done.exit_code == 0, done.output
    results = json.loads((folder / "out" / "results.json").read_text())
    assert (results["all"]["trials"], results["all"]["successes"]) == (1, 0)
    assert results["cells"][0]["task"] == "push_cans"


def test_an_evaluation_plays_anew_once_its_file_has_changed(folder):
    found = []
    for text in (STILL, STILL, STILL.replace("frames: int = 10", "frames: int = 12")):
        (folder / "still.py").write_text(text)
        policy_code_digest.cache_clear()
        found.append(policy_code_digest())
    policy_code_digest.cache_clear()
    assert found[0] == found[1] != found[2]
