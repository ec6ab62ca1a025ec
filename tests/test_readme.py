"""What README shows works: its Python runs and prints decoded poses, and its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from xlvla import rig_file
from xlvla_drivers import registry

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
PAGES += sorted(path for path in (ROOT / "docs").rglob("*.md"))

GENERATED = ("reference/", "index.md", "contributing.md", "changelog.md", "start/examples.md")
"""Pages below docs/ that exist only once the documentation is built, which checks links to them."""

in_a_checkout = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="not in a checkout")


def python_of(page):
    """The Python of a page, its blocks in order as one program."""
    return "\n".join(
        re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    )


def rigs_of(page):
    """The rigs a page shows whole: YAML with the title of a file."""
    return re.findall(
        r'^```yaml title="my_rig.yaml"\n(.*?)^```', page.read_text(), re.DOTALL | re.MULTILINE
    )


def output_of(program):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def links_of(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return [
        link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?:|#", link)
    ]


@in_a_checkout
def test_the_python_of_readme_prints_decoded_poses():
    poses = [
        pose.split()
        for pose in re.findall(r"\[([^\]]*)\]", output_of(python_of(ROOT / "README.md")))
    ]
    assert [len(pose) for pose in poses] == [12, 6], (
        "a closed hand as an XHand's joints, then the end of a path as an Inspire's"
    )
    assert all(abs(float(angle)) < 3.2 for pose in poses for angle in pose)
    assert sum(map(float, poses[0])) > 6, "an XHand that was decoded from a closed hand is closed"


@in_a_checkout
@pytest.mark.long
def test_the_first_steps_in_python_run_as_they_stand_and_the_policy_succeeds():
    lines = output_of(python_of(ROOT / "docs" / "start" / "python.md")).splitlines()
    assert "Push the two tomato cans together." in lines
    assert lines[-1].startswith("success after "), lines[-1]


@in_a_checkout
@pytest.mark.parametrize("page", ["howto/rig.md", "howto/hardware.md"])
def test_a_rig_of_the_documentation_has_no_faults(page, tmp_path):
    for text in rigs_of(ROOT / "docs" / page):
        path = tmp_path / "my_rig.yaml"
        path.write_text(text)
        loaded = rig_file.load(path)
        assert loaded.name == "my_rig"
        assert registry.faults(loaded) == []


@in_a_checkout
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    dead = []
    for link in links_of(page):
        target = (page.parent / link.partition("#")[0]).resolve()
        inside = target.relative_to(ROOT).as_posix().removeprefix("docs/")
        if not target.exists() and not (
            page.is_relative_to(ROOT / "docs") and inside.startswith(GENERATED)
        ):
            dead.append(link)
    assert not dead
