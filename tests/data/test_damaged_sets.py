"""Hundreds of seeded mutations of every file of a data set, through the commands that read it: they
succeed, or say in one line what is wrong.
"""

from __future__ import annotations

import json
import random
import shutil

import pytest
import sets_of_others as others
from made_episodes import run

from mutations import SEEDS
from xlvla.errors import XlvlaError
from xlvla_data import store
from xlvla_data.lerobot import layout, tables

STRANGE = (None, True, -1, 0, 1e308, 10**30, "", "x", "../x", [], {}, [[1]], float("nan"), "\x00")
"""What stands where something else is wanted."""

LONGEST = 1000


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """An episode with a video, and one with its pictures in the table of frames."""
    folder = tmp_path_factory.mktemp("sound")
    video = others.made(folder / "video", 1, 12)
    embedded = others.embed(others.made(folder / "embedded", 1, 12))
    return {"video": video, "embedded": embedded}


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Bytes with flipped bits, cut off, emptied, or with a stretch of others."""
    damaged = bytearray(data)
    way = rng.randrange(10)
    if way == 0:
        return bytes(damaged[: rng.randrange(len(damaged))])
    if way == 1:
        at = rng.randrange(len(damaged))
        damaged[at : at + 40] = rng.randbytes(40)
        return bytes(damaged)
    if way == 2:
        at = rng.randrange(len(damaged))
        del damaged[at : at + rng.randrange(1, 30)]
        return bytes(damaged)
    for _ in range(rng.choice((1, 1, 8))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def places(document, path=()):
    """The way to every value in a document."""
    yield path
    entries = document.items() if isinstance(document, dict) else ()
    if isinstance(document, list):
        entries = enumerate(document[:3])
    for key, value in entries:
        yield from places(value, (*path, key))


def replaced(document, path, value):
    """A document with another value at a place."""
    if not path:
        return value
    copy = document.copy()
    copy[path[0]] = replaced(document[path[0]], path[1:], value)
    return copy


def told(root, *, pictures: bool) -> set[str]:
    """Reads a data set by the commands; anything but success or one line raises."""
    kinds = set()
    check = ("check", root) if pictures else ("check", root, "--quick")
    for command in (check, ("stats", root), ("stats", root, "--joints")):
        try:
            text, code = run(*command)
        except XlvlaError as error:
            text, code = str(error), 1
            assert "\n" not in text, text
            kinds.add("line")
        assert code in (0, 1)
        assert len(text) < 40 * LONGEST
        kinds.add("success" if code == 0 else "found")
    return kinds


def read(root) -> None:
    """Reads everything of a data set, as training and merging do."""
    try:
        for stored in store.find(root):
            stored.read()
            list(stored.sentences)
            stored.mark  # noqa: B018
            for camera in stored.data.info.cameras:
                list(stored.data.clip(stored.row, camera))
                stored.data.shots(stored.row, camera)
    except XlvlaError as error:
        assert "\n" not in str(error), error


def files_of(root, pattern):
    (path,) = sorted(root.rglob(pattern))[:1]
    return path


@SEEDS
@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("video", "data/**/*.parquet"),
        ("video", "meta/episodes/**/*.parquet"),
        ("video", layout.TASKS),
        ("video", layout.INFO),
        ("video", layout.STATS),
        ("video", "*.mp4"),
        ("embedded", "data/**/*.parquet"),
    ],
    ids=["frames", "episodes", "tasks", "info", "stats", "video", "pictures in the table"],
)
def test_a_file_with_damaged_bytes_is_read_or_told_in_one_line(
    sound, tmp_path, kind, pattern, seeds
):
    rng = random.Random(f"{pattern} {seeds}")
    root = tmp_path / "theirs"
    shutil.copytree(sound[kind], root)
    path = files_of(root, pattern)
    data = path.read_bytes()
    kinds = set()
    pictures = "mp4" in pattern or kind == "embedded"
    for number in seeds[::2]:
        path.write_bytes(flipped(data, rng))
        read(root)
        # The commands cost more than reading
        if number % 16 == 0:
            kinds |= told(root, pictures=pictures)
    path.write_bytes(b"")
    kinds |= told(root, pictures=pictures)
    assert kinds & {"line", "found"}


@SEEDS
@pytest.mark.parametrize("name", [layout.INFO, layout.STATS])
def test_a_document_with_something_else_at_any_place_is_read_or_told_in_one_line(
    sound, tmp_path, name, seeds
):
    rng = random.Random(str(seeds))
    root = tmp_path / "theirs"
    shutil.copytree(sound["video"], root)
    document = json.loads((root / name).read_text())
    every = list(places(document))
    for number in seeds:
        changed = replaced(document, rng.choice(every), rng.choice(STRANGE))
        (root / name).write_text(json.dumps(changed))
        read(root)
        if number % 8 == 0:
            told(root, pictures=False)
    for text in ("[" * 100_000, '{"fps": ' + "9" * 5000 + "}", "\ufeff{}", "{"):
        (root / name).write_text(text)
        told(root, pictures=False)


def of_one_feature(name):
    """Whether a column holds no statistics, or those of actions."""
    return not name.startswith("stats/") or name.startswith(f"stats/{layout.ACTION}/")


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(of_one_feature, id="of one feature"),
        pytest.param(
            lambda name: not of_one_feature(name), id="of the others", marks=pytest.mark.long
        ),
    ],
)
def test_a_table_of_episodes_with_other_values_is_read_or_told_in_one_line(sound, tmp_path, chosen):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = random.Random(2)
    root = tmp_path / "theirs"
    shutil.copytree(sound["video"], root)
    path = files_of(root, "meta/episodes/**/*.parquet")
    table = pq.read_table(path)
    values = (None, "x", -1, 3.5, 10**15, True, b"\xff", [1, 2], ["a"], {"a": 1})
    for name in filter(chosen, table.column_names):
        column = table.column_names.index(name)
        for value in rng.sample(values, 4):
            pq.write_table(table.set_column(column, name, pa.array([value])), path)
            read(root)
        pq.write_table(table.drop_columns([name]), path)
        read(root)
    told(root, pictures=False)


def test_a_flipped_bit_among_the_rows_never_becomes_another_number(sound, tmp_path):
    path = tmp_path / "file-000.parquet"
    data = files_of(sound["video"], "data/**/*.parquet").read_bytes()
    path.write_bytes(data)
    true = tables.read(path)
    # Behind the rows are the description, its length [4 bytes] and the format's name
    rows_end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    places_tried = range(4, rows_end, rows_end // 60)
    refused = 0
    for at in places_tried:
        damaged = bytearray(data)
        damaged[at] ^= 4
        path.write_bytes(damaged)
        try:
            read = tables.read(path)
        except XlvlaError as error:
            assert path.name in str(error)
            refused += 1
        else:
            assert read.equals(true), at
    assert refused > len(places_tried) / 2


def test_a_column_whose_name_is_no_text_is_one_line(tmp_path):
    import pyarrow as pa

    path = tmp_path / "file-000.parquet"
    tables.write(path, pa.table({"episode_index": [0]}))
    path.write_bytes(path.read_bytes().replace(b"episode_index", b"episode\xffindex"))
    with pytest.raises(XlvlaError, match=r"file-000\.parquet cannot be read: .*decode"):
        tables.read(path)
