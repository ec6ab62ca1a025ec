"""Bags of other writers, renamed, split and compressed ones: read as they are, and never made
less.
"""

from __future__ import annotations

import shutil

import made_episodes
import pytest
import yaml
import zstandard
from foreign_bags import plainly, rewrite
from made_episodes import run
from mcap.writer import CompressionType

from xlvla.errors import XlvlaError
from xlvla_data import bagged, store
from xlvla_data.bag.layout import METADATA
from xlvla_data.bag.reader import Bag
from xlvla_data.recorder.repair import repair, repair_all

NAME = "episode_000000"
FILE = f"{NAME}_0.mcap"
WAYS = {
    "channels inside chunks": {},
    "small chunks": {"chunk_size": 10_000},
    "zstd": {"compression": CompressionType.ZSTD},
    "no compression": {"compression": CompressionType.NONE},
    "no chunks": {"use_chunking": False},
    "no summary": {
        "use_statistics": False,
        "use_summary_offsets": False,
        "repeat_channels": False,
        "repeat_schemas": False,
    },
}


@pytest.fixture(scope="module")
def episode(tmp_path_factory):
    return bagged.write(made_episodes.episode(0), tmp_path_factory.mktemp("made") / "monday" / NAME)


def said(folder):
    """Whatever a bag holds, in its order."""
    return [
        (m.topic, m.stamp_ns, m.log_ns, m.sent_ns, m.content)
        for m in Bag(folder).messages(raw=True)
    ]


def frames(folder):
    return [stored.row.length for stored in store.find(folder)]


@pytest.mark.parametrize("way", WAYS)
def test_a_bag_of_another_writer_is_read_as_it_is_and_its_file_is_never_touched(
    episode, tmp_path, way
):
    folder = rewrite(episode, tmp_path / "monday" / NAME, **WAYS[way])
    before = (folder / FILE).read_bytes()
    assert sorted(said(folder)) == sorted(said(episode))
    assert not list(repair_all(tmp_path))
    text, code = run("convert", tmp_path, "--to", tmp_path / "to")
    assert (
        code == 0
        and "1 converted" in text
        and "repaired" not in text
        and frames(tmp_path / "to") == [40]
    )
    assert not (folder / METADATA).exists()
    assert repair(folder) == "metadata.yaml is there again"
    about = yaml.safe_load((folder / METADATA).read_text())["rosbag2_bagfile_information"]
    assert about["message_count"] == len(said(episode)) and not repair(folder)
    assert (folder / FILE).read_bytes() == before


def test_a_cut_off_bag_of_another_writer_is_repaired_only_when_asked_and_kept(episode, tmp_path):
    folder = rewrite(episode, tmp_path / "monday" / NAME, chunk_size=10_000)
    path = folder / FILE
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    before = path.read_bytes()
    there = plainly(path)
    assert not list(repair_all(tmp_path))
    text, code = run("convert", tmp_path, "--to", tmp_path / "to")
    assert (
        code == 1
        and "was never closed, or is cut off: `xlvla data repair`" in text
        and path.read_bytes() == before
    )
    text, code = run("repair", tmp_path)
    assert (
        code == 0
        and "what it was is in episode_000000_0.mcap.damaged" in text
        and "1 repaired" in text
    )
    assert (folder / f"{FILE}.damaged").read_bytes() == before
    assert there and not there - plainly(path)
    assert run("repair", tmp_path) == ("nothing to repair\n", 0)


def test_a_bag_of_which_nothing_can_be_read_is_left_as_it_is_and_the_next_is_repaired(
    episode, tmp_path
):
    empty = rewrite(episode, tmp_path / "monday" / NAME, chunk_size=10**9)
    path = empty / FILE
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 10])
    broken = bagged.write(made_episodes.episode(1), tmp_path / "monday" / "episode_000001")
    (broken / "episode_000001_0.mcap").write_bytes(b"nothing of that kind")
    whole = rewrite(episode, tmp_path / "monday" / "episode_000002")
    before = path.read_bytes()
    text, code = run("repair", tmp_path)
    assert code == 1 and "1 repaired, 2 could not be repaired" in text and "Traceback" not in text
    assert "no message of it can be read; it is left as it is" in text and "is no MCAP file" in text
    assert path.read_bytes() == before and sorted(each.name for each in empty.iterdir()) == [
        "episode.json",
        FILE,
    ]
    assert (whole / METADATA).is_file()


def test_a_bag_in_two_files_is_read_whole(episode, tmp_path):
    for way, described in {"told": True, "untold": False}.items():
        folder = rewrite(episode, tmp_path / way / "monday" / NAME, files=2, described=described)
        assert sorted(said(folder)) == sorted(said(episode))
        text, code = run("convert", tmp_path / way, "--to", tmp_path / f"{way}_to")
        assert code == 0 and "1 converted" in text and frames(tmp_path / f"{way}_to") == [40]


def test_a_part_that_is_missing_is_named_and_nothing_is_converted(episode, tmp_path):
    for number, described in ((0, True), (1, True), (0, False), (1, False)):
        folder = rewrite(
            episode,
            tmp_path / f"{number}{described}" / "monday" / NAME,
            files=3,
            described=described,
        )
        (folder / f"{NAME}_{number}.mcap").unlink()
        with pytest.raises(XlvlaError, match="a part of the recording is not there"):
            Bag(folder)
        with pytest.raises(XlvlaError, match="a part of the recording is not there"):
            repair(folder)


def test_files_of_another_bag_are_not_taken_for_parts(episode, tmp_path):
    folder = rewrite(episode, tmp_path / NAME, described=True)
    shutil.copy(folder / FILE, folder / "another_0.mcap")
    with pytest.raises(
        XlvlaError, match=r"has another_0\.mcap, which its metadata\.yaml does not name"
    ):
        Bag(folder)
    (folder / METADATA).unlink()
    with pytest.raises(XlvlaError, match="holds files of 2 bags"):
        Bag(folder)


def test_names_in_the_metadata_lead_nowhere_else(episode, tmp_path):
    folder = rewrite(episode, tmp_path / "a" / NAME)
    shutil.copy(folder / FILE, tmp_path / "outside_0.mcap")
    (folder / METADATA).write_text(
        yaml.safe_dump(
            {"rosbag2_bagfile_information": {"relative_file_paths": ["../../outside_0.mcap"]}}
        )
    )
    assert [part.parent for part in Bag(folder).parts] == [folder]


def test_a_renamed_episode_is_read(episode, tmp_path):
    renamed = tmp_path / "monday" / "good_one"
    shutil.copytree(episode, renamed)
    assert said(renamed) == said(episode)
    assert Bag(renamed).whole and not repair(renamed)
    assert run("convert", tmp_path, "--to", tmp_path / "to")[1] == 0
    assert frames(tmp_path / "to") == [40]
    assert store.find(tmp_path / "to")[0].key == "monday/good_one"


def test_a_compressed_file_is_read_and_repaired_beside_what_it_was(episode, tmp_path):
    folder = tmp_path / "monday" / NAME
    shutil.copytree(episode, folder)
    path = folder / FILE
    packed = folder / f"{FILE}.zstd"
    packed.write_bytes(zstandard.compress(path.read_bytes()))
    path.unlink()
    assert said(folder) == said(episode) and not repair(folder)
    assert run("convert", tmp_path, "--to", tmp_path / "to")[1] == 0
    assert frames(tmp_path / "to") == [40]
    whole = zstandard.decompress(packed.read_bytes())
    packed.write_bytes(zstandard.compress(whole[: len(whole) // 2]))
    assert "whole again" in repair(folder)
    assert Bag(folder).whole and 0 < len(said(folder)) < len(said(episode))
    assert (folder / f"{FILE}.zstd.damaged").is_file() and not packed.exists()
    (folder / FILE).rename(packed)
    with pytest.raises(XlvlaError, match="cannot be unpacked"):
        Bag(folder)


def test_a_bag_in_sqlite_is_told_apart(tmp_path):
    (tmp_path / "bag_0.db3").touch()
    with pytest.raises(XlvlaError, match="is an sqlite3 bag: `ros2 bag convert`"):
        Bag(tmp_path)


def test_messages_that_are_compressed_one_by_one_are_not_taken_for_others(episode, tmp_path):
    folder = tmp_path / NAME
    shutil.copytree(episode, folder)
    document = yaml.safe_load((folder / METADATA).read_text())
    document["rosbag2_bagfile_information"] |= {
        "compression_mode": "MESSAGE",
        "compression_format": "zstd",
    }
    (folder / METADATA).write_text(yaml.safe_dump(document))
    with pytest.raises(XlvlaError, match="has every message compressed on its own"):
        list(Bag(folder).messages())


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "[1, 2]",
        "rosbag2_bagfile_information: 3",
        "rosbag2_bagfile_information: {relative_file_paths: 7}",
    ],
)
def test_damaged_metadata_costs_nothing_and_is_kept_beside_what_replaces_it(
    episode, tmp_path, damage
):
    folder = tmp_path / NAME
    shutil.copytree(episode, folder)
    (folder / METADATA).write_text(damage)
    assert said(folder) == said(episode)
    if repair(folder):
        assert (folder / f"{METADATA}.damaged").read_text() == damage
        assert yaml.safe_load((folder / METADATA).read_text())["rosbag2_bagfile_information"][
            "message_count"
        ] == len(said(episode))
