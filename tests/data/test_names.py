"""One function says whether a name out of a file stays in the folder it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from xlvla import files, rig_file
from xlvla.errors import RigError, XlvlaError


@pytest.mark.parametrize(
    "name", ["push_cans", "observation.images.top", "my rig", "Wörter", "..a", "x" * 200]
)
def test_a_name_of_one_file_stays_in_its_folder(name):
    assert files.inside(Path("/some/folder"), name, "the task") == Path("/some/folder") / name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/x", "a/b", "a\\b", "a\nb", "a\0b", "ü" * 150, None, 3, ["a"]]
)
def test_what_leads_elsewhere_or_is_no_name_is_refused_in_one_line(name):
    with pytest.raises(
        XlvlaError,
        match=r"the task is called .*: a name is one to 200 letters, without slashes, not '..'",
    ) as found:
        files.inside(Path("/some/folder"), name, "the task")
    assert str(found.value).isprintable()


CAMERA = "{xyz: [1, 0, 1], target: [0, 0, 0]}"


@pytest.mark.parametrize("name", ["lab/left", "../elsewhere", "/tmp/elsewhere"])
def test_a_rig_or_camera_whose_files_would_lie_elsewhere_is_refused(tmp_path, name):
    path = tmp_path / "rig.yaml"
    for entry, line in (
        (f"name: {name}", f"the rig is called '{name}"),
        (f"name: ours\ncameras: {{{name}: {CAMERA}}}", f"cameras: '{name}' cannot be part"),
    ):
        path.write_text(f"like: bimanual\n{entry}\n")
        with pytest.raises(RigError, match=line):
            rig_file.load(path)
