"""Bags with flipped bits, and bytes that are lost or doubled: one line each, nothing is made up,
and nothing becomes less.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter

import made_episodes
import numpy as np
import pytest
import yaml
from foreign_bags import plainly, rewrite, write
from made_episodes import run

from mutations import SEEDS
from xlvla.errors import XlvlaError
from xlvla_data import bagged, store
from xlvla_data.bag.card import CARD, read_episode_card
from xlvla_data.bag.layout import METADATA
from xlvla_data.bag.reader import Bag
from xlvla_data.bag.records import CHUNK_HEAD, HEAD
from xlvla_data.recorded import take
from xlvla_data.recorder.repair import repair

NAME = "episode_000000"
FILE = f"{NAME}_0.mcap"
KINDS = {
    "ours": None,
    "channels inside chunks": {"chunk_size": 16_000},
    "no chunks": {"use_chunking": False},
}


@pytest.fixture(scope="module")
def episode(tmp_path_factory):
    """A second with pictures of a few bytes."""
    made = made_episodes.episode(0, frames=24)
    small = {
        camera: [picture[::8, ::8] for picture in pictures]
        for camera, pictures in made.pictures.items()
    }
    made = type(made)(made.info, small, made.action, made.measured, made.latent, made.others)
    return bagged.write(made, tmp_path_factory.mktemp("made") / "monday" / NAME)


def mutated(data, rng):
    """The file with a bit flipped, bytes changed, lost, doubled or zeroed, or its end cut off."""
    made = bytearray(data)
    at = (
        rng.randrange(len(made))
        if rng.random() < 0.5
        else rng.choice((rng.randrange(4096), -1 - rng.randrange(4096)))
    )
    at %= len(made)
    size = rng.randrange(1, 64)
    way = rng.randrange(8)
    if way < 4:
        made[at] ^= 1 << rng.randrange(8)
    elif way == 4:
        made[at : at + size] = rng.randbytes(size)
    elif way == 5:
        made[at : at + size] = bytes(size)
    elif way == 6:
        del made[at : at + size]
    else:
        del made[at:]
    return bytes(made)


def accepted(do):
    """What it returns; None where it is refused in one line."""
    try:
        return do()
    except XlvlaError as error:
        assert "\n" not in str(error)
        return None


@SEEDS
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_damaged_no_message_that_can_be_read_is_lost_and_none_is_made_up(
    episode, tmp_path, kind, seeds
):
    folder = tmp_path / "monday" / NAME
    if KINDS[kind] is None:
        shutil.copytree(episode, folder)
    else:
        rewrite(episode, folder, described=True, **KINDS[kind])
    path = folder / FILE
    rng = random.Random(f"{kind} {seeds}")
    sound = path.read_bytes()
    rest = {name: (folder / name).read_bytes() for name in (CARD, METADATA)}
    true = plainly(path)
    for number in seeds[::3]:
        for each in folder.iterdir():
            each.unlink()
        for name, content in rest.items():
            (folder / name).write_bytes(content)
        if number % 2:
            (folder / METADATA).unlink()
        damaged = mutated(sound, rng)
        path.write_bytes(damaged)
        before = plainly(path)
        taken = accepted(lambda: take(Bag(folder), 20))
        if (
            taken is not None and kind != "no chunks"
        ):  # nothing says there whether a message is as it was
            assert sum(len(shots.stamps) for shots in taken.cameras.values()) == 24, number
            assert {len(s.stamps) for parts in taken.command.values() for s in parts.values()} == {
                121
            }, number
        done = accepted(lambda: repair(folder))
        after = plainly(path)
        assert not (before & true) - after, number
        assert after.total() >= before.total(), number
        if done is None:
            assert path.read_bytes() == damaged, number
        elif after.total() < true.total() and path.read_bytes() != damaged:
            assert (folder / f"{FILE}.damaged").read_bytes() == damaged, number
        if kind != "no chunks":
            assert not after - true, number


def chunks(data):
    """Where chunks begin and end."""
    at = 8
    found = []
    while at + HEAD.size <= len(data):
        opcode, length = HEAD.unpack_from(data, at)
        if opcode == 6:
            found.append((at, at + HEAD.size + length))
        at += HEAD.size + length
    return found


def spoil(folder, at):
    path = folder / f"{folder.name}_0.mcap"
    made = bytearray(path.read_bytes())
    made[at] ^= 4
    path.write_bytes(made)


def test_one_flipped_bit_costs_its_episode_and_no_other(tmp_path):
    session = tmp_path / "monday"
    for number in range(4):
        bagged.write(made_episodes.episode(number), session / f"episode_{number:06d}")
    begin, end = chunks((session / "episode_000001" / "episode_000001_0.mcap").read_bytes())[1]
    spoil(session / "episode_000001", (begin + end) // 2)
    (session / "episode_000002" / CARD).write_bytes(b"\xff\xfe{")
    text, code = run("convert", session, "--to", tmp_path / "to")
    assert code == 1 and "2 converted, 2 refused" in text
    assert (
        "episode_000001: refused: " in text
        and "is damaged: a chunk of messages is damaged" in text
        and "`xlvla data repair`" in text
    )
    assert [stored.key for stored in store.find(tmp_path / "to")] == [
        "monday/episode_000000",
        "monday/episode_000003",
    ]
    text, code = run("recordings", session)
    assert code == 1 and "monday/episode_000003" in text and "is not valid JSON" in text


@pytest.mark.parametrize("where", ["contents", "length inside"])
def test_a_damaged_chunk_costs_its_messages_and_those_behind_it_are_kept(tmp_path, where):
    folder = bagged.write(made_episodes.episode(0, frames=100), tmp_path / "monday" / NAME)
    path = folder / FILE
    true = plainly(path)
    sound = path.read_bytes()
    begin, end = chunks(sound)[1]
    spoil(
        folder,
        (begin + end) // 2 if where == "contents" else begin + HEAD.size + CHUNK_HEAD.size + 5,
    )
    line = repair(folder)
    kept = plainly(path)
    lost = true - kept
    assert not kept - true and 0 < lost.total() < true.total() / 2
    assert f"{kept.total()} of {true.total()} messages" in line and line.endswith(
        f"what it was is in {FILE}.damaged"
    )
    assert max(log_ns for _, log_ns, _ in lost) < max(log_ns for _, log_ns, _ in kept)
    card = read_episode_card(folder)
    assert card.verdict == "yellow" and any(
        f"{kept.total()} of {true.total()} messages can be read" in each for each in card.findings
    )
    about = yaml.safe_load((folder / METADATA).read_text())["rosbag2_bagfile_information"]
    assert about["message_count"] == kept.total()
    text, code = run("convert", tmp_path, "--to", tmp_path / "to")
    assert code == 1 and "is older than" in text


def test_a_chunk_whose_length_is_damaged_is_read_by_the_length_inside_it(episode, tmp_path):
    folder = tmp_path / NAME
    shutil.copytree(episode, folder)
    path = folder / FILE
    true = plainly(path)
    begin, _ = chunks(path.read_bytes())[0]
    spoil(folder, begin + 3)
    assert plainly(path) != true
    with pytest.raises(XlvlaError, match="the length of a chunk at byte"):
        list(Bag(folder).messages(raw=True))
    assert f"whole again with {true.total()} of {true.total()} messages" in repair(folder)
    assert plainly(path) == true


def test_a_chunk_is_not_unpacked_beyond_what_it_says(episode, tmp_path):
    folder = tmp_path / NAME
    shutil.copytree(episode, folder)
    path = folder / FILE
    made = bytearray(path.read_bytes())
    begin, _ = chunks(made)[0]
    first_ns, last_ns, size, checksum, named = CHUNK_HEAD.unpack_from(made, begin + HEAD.size)
    for told in (size - 1, size + 1, 1 << 40):
        CHUNK_HEAD.pack_into(made, begin + HEAD.size, first_ns, last_ns, told, checksum, named)
        path.write_bytes(made)
        with pytest.raises(XlvlaError, match="a chunk of messages is damaged"):
            list(Bag(folder).messages(raw=True))


def test_a_repair_without_room_leaves_everything_as_it_was(episode, tmp_path):
    resource = pytest.importorskip("resource")
    folder = tmp_path / NAME
    shutil.copytree(episode, folder)
    path = folder / FILE
    os.truncate(path, path.stat().st_size - 2000)
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, limits[1]))
    try:
        with pytest.raises(XlvlaError, match=r"File too large|holds less than could be read"):
            repair(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


def test_a_message_that_is_cut_off_is_named(episode, tmp_path):
    bag = Bag(episode)
    counts = Counter()
    for topic in bag.topics.values():
        folder = tmp_path / topic.name.replace("/", "_") / "monday" / NAME
        rewrite(episode, folder)
        counts[cut_one(folder, topic.name)] += 1
    assert counts["refused"] == len(bag.topics)


def cut_one(folder, topic):
    """Writes a bag in which a message of a topic lacks its second half; what convert makes of
    it.
    """
    bag = Bag(folder)
    messages = list(bag.messages(raw=True))
    cut = next(number for number, message in enumerate(messages) if message.topic == topic)
    message = messages[cut]
    messages[cut] = message._replace(content=message.content[: len(message.content) // 2])
    write(folder / FILE, bag, messages, {})
    text, code = run("convert", folder.parent, "--to", folder / "to")
    assert code == 1 and "refused: " in text and "0 converted, 1 refused" in text, text
    return "refused"


@pytest.mark.parametrize("which", [0, -1])
@pytest.mark.parametrize("seconds", [2**30, -(2**30)])
def test_a_stamp_of_another_time_is_refused_before_anybody_counts_frames(
    episode, tmp_path, which, seconds
):
    folder = rewrite(episode, tmp_path / "monday" / NAME)
    bag = Bag(folder)
    messages = list(bag.messages(raw=True))
    at = [
        number
        for number, message in enumerate(messages)
        if message.topic == "/left/arm/joint_states"
    ][which]
    content = bytearray(messages[at].content)
    content[4:8] = seconds.to_bytes(4, "little", signed=True)
    messages[at] = messages[at]._replace(content=bytes(content))
    write(folder / FILE, bag, messages, {})
    text, code = run("convert", tmp_path, "--to", tmp_path / "to")
    assert code == 1 and (
        "that is no episode, a stamp is damaged or of another clock" in text
        or "stamps go back" in text
    )


@pytest.mark.parametrize("count", [12, pytest.param(40, marks=pytest.mark.long)])
def test_messages_with_flipped_bits_are_converted_or_refused_in_one_line(episode, tmp_path, count):
    """Without chunks nothing has a checksum, so that whatever is damaged reaches those who decode
    it.
    """
    base = rewrite(episode, tmp_path / NAME, described=True, use_chunking=False)
    rng = random.Random(0)
    sound = (base / FILE).read_bytes()
    for number in range(count):
        folder = tmp_path / "monday" / f"episode_{number:06d}"
        shutil.copytree(base, folder)
        damaged = bytearray(sound)
        for _ in range(rng.choice((1, 1, 8))):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        (folder / FILE).write_bytes(damaged)
    text, code = run("convert", tmp_path / "monday", "--to", tmp_path / "to")
    refused = [line for line in text.splitlines() if ": refused: " in line]
    assert code == 1 and f"{count - len(refused)} converted, {len(refused)} refused" in text


@pytest.mark.parametrize("damage", [b"[1, 2]", b"{" * 100_000, b'{"name": 3}', b"\xff", b"null"])
def test_a_damaged_card_is_told_in_one_line(tmp_path, damage):
    (tmp_path / CARD).write_bytes(damage)
    with pytest.raises(XlvlaError) as told:
        read_episode_card(tmp_path)
    assert "\n" not in str(told.value) and np.less(len(str(told.value)), 1000)
