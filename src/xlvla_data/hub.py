"""Data sets on the Hub: one repository each, as LeRobot's own are, with a card."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from xlvla.errors import XlvlaError
from xlvla.hub import client
from xlvla.hub import pull as pulling
from xlvla.hub import push as pushing
from xlvla.hub.pull import Look, Pulled
from xlvla.hub.push import CARD, MARK, Content, Pushed
from xlvla.text import plain
from xlvla_data import store
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.writer import locked
from xlvla_data.store import Stored
from xlvla_data.summary import groups

PREFIX = "hub:"
"""Of what is to be pulled where a data set on disk may be named."""

FOLDERS = ("data", "videos", "meta", "images")
"""A data set's own folders in its repository."""

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The Hub's classes of sizes, in rows."""

MOST_SENTENCES = 50


def push(folder: Path, name: str, *, public: bool = False, license: str = "") -> Pushed:
    """Puts a data set into the repository `user/name`, with the tag by which LeRobot finds it.

    Raises:
        XlvlaError: it is no data set or not one alone, is being written, or cannot be pushed.
    """
    to = client.repository("dataset", name)
    roots = store.roots(folder)
    if len(roots) != 1:
        there = "holds no data set"
        if roots:
            some = ", ".join(root.name for root in roots[:3])
            there = f"holds {len(roots)} data sets ({some}, ...), a repository holds one"
        raise XlvlaError(f"{folder} {there}: push the folder of one, with meta/info.json in it")
    (root,) = roots
    with locked(root / layout.LOCK):
        episodes = store.find(root)
        contents: dict[str, Content] = dict(pushing.local_files(root))
        if CARD not in contents or pushing.is_ours(contents[CARD]):
            contents[CARD] = card(to.name, episodes, license).encode()
        return pushing.push(contents, to, public=public, owned=FOLDERS, tag=layout.VERSION)


def pull(name: str, to: Path | None = None) -> tuple[Path, Pulled]:
    """Brings the data set of `user/name` or `user/name@revision` to a folder, by default one in
    HF_HOME; returns that folder.

    Raises:
        XlvlaError: it is no data set that can be read, or cannot be pulled.
    """
    source = client.repository("dataset", name)
    folder = to or client.home("dataset") / source.name

    def accept(paths: Collection[str], look: Look) -> None:
        if layout.INFO not in paths:
            raise XlvlaError(f"{source} is no LeRobot v3 data set: it has no {layout.INFO}")
        layout.read_info(look(layout.INFO).parents[1])

    return folder, pulling.pull(source, folder, accept, last=layout.INFO)


def on_disk(text: str) -> str:
    """`A` or `A=0.3` with the folder of a data set for `hub:user/name@revision`, which is pulled.

    Raises:
        XlvlaError: it cannot be pulled.
    """
    if not text.startswith(PREFIX):
        return text
    name, equals, weight = text.removeprefix(PREFIX).partition("=")
    folder, _ = pull(name)
    return f"{folder}{equals}{weight}"


def card(name: str, episodes: Sequence[Stored], license: str = "") -> str:
    """The card of a data set, in Markdown with the Hub's block of YAML before it."""
    frames = sum(stored.row.length for stored in episodes)
    about: dict[str, Any] = {}
    if license:
        about["license"] = license
    hands = dict.fromkeys(hand for stored in episodes for hand in stored.hands.values())
    about |= {
        "task_categories": ["robotics"],
        "tags": ["LeRobot", "robotics", "xlvla", *hands],
        "size_categories": [_size_class(frames)],
        "configs": [{"config_name": "default", "data_files": "data/*/*.parquet"}],
    }
    block = yaml.safe_dump(about, sort_keys=False)
    return f"---\n{block}---\n\n" + "\n".join(_lines(name, episodes, frames)) + "\n"


def _size_class(frames: int) -> str:
    for limit, words in SIZES:
        if frames < limit:
            return words
    return "1M<n<10M" if frames < 10_000_000 else "n>10M"


def _lines(name: str, episodes: Sequence[Stored], frames: int) -> Iterator[str]:
    info = episodes[0].data.info
    yield f"# {name}"
    yield ""
    yield MARK
    yield ""
    yield (
        f"{len(episodes)} episodes with {frames} frames at {info.fps:g} Hz, "
        f"a LeRobot {layout.VERSION} data set."
    )
    yield ""
    yield from ("```", f"xlvla train policy --data hub:{name}", f"xlvla data pull {name}", "```")
    yield from ("", "## Episodes", "")
    yield from _row("task", "hands", "episodes", "minutes", "succeeded")
    yield from _row(*["---"] * 5)
    sentences: list[str] = []
    for group in groups(episodes):
        won = group.success.get("yes", 0)
        judged = won + group.success.get("no", 0)
        minutes = sum(group.durations_s) / 60
        yield from _row(
            group.task or "unknown",
            group.hands,
            len(group.durations_s),
            f"{minutes:.1f}",
            f"{won} of {judged}" if judged else "unknown",
        )
        sentences += group.sentences
    yield from ("", "Instructions:", "")
    for sentence in sorted(set(sentences))[:MOST_SENTENCES]:
        yield f"- {plain(sentence)}"
    yield from ("", "## Features", "")
    yield from _row("feature", "type", "shape", "of")
    yield from _row(*["---"] * 4)
    for key, feature in info.features.items():
        shape = " x ".join(map(str, feature.shape))
        yield from _row(key, feature.dtype, shape, ", ".join(feature.names or ()))
    yield ""
    yield "Joints are in rad, lengths in m, times in s."


def _row(*cells: object) -> Iterator[str]:
    # A bar would end the cell.
    yield f"| {' | '.join(plain(cell, 4000).replace('|', '/') for cell in cells)} |"
