"""Putting files into a repository of the Hub."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlvla.errors import XlvlaError
from xlvla.hub import client
from xlvla.hub.client import MAIN, Repository
from xlvla.text import plain

CARD = "README.md"
"""What the Hub shows of a repository."""

MARK = "<!-- Written by xlvla at each push. Put a README.md of your own beside what you push. -->"
"""Line of a card that may be written anew."""

Content = Path | bytes


@dataclass(frozen=True)
class Pushed:
    """What a push has done.

    Args:
        page: address of the commit that holds it now.
        changed: whether there was anything to commit.
        removed: how many files the repository had that were not pushed.
        kept_card: its card was written by somebody, and stays.
    """

    page: str
    changed: bool
    removed: int
    kept_card: bool


def push(
    contents: Mapping[str, Content],
    to: Repository,
    *,
    public: bool = False,
    owned: Collection[str] = (),
    tag: str = "",
) -> Pushed:
    """Makes a repository hold these files, by one commit: all of them or none. What the server has
    already of an interrupted push is not sent again.

    Args:
        contents: files by their path in the repository. A card there that somebody wrote stays
            where this one is ours.
        public: whether everybody may see the repository, if it is new; others stay as they are.
        owned: folders of the repository in which nothing else may be.
        tag: is moved to the new commit.

    Raises:
        XlvlaError: it could not be done; the repository holds what it held.
    """
    if to.revision != MAIN:
        raise XlvlaError(f"{to}: a push makes a new revision, so it names none")
    hub = client.library()
    api = client.api()
    with client.asking(to, "pushed"):
        api.create_repo(**to.address, private=not public, exist_ok=True)
        parent = api.repo_info(**to.address).sha
        there = set(api.list_repo_files(**to.address, revision=parent))
        wanted = dict(contents)
        kept_card = False
        if CARD in there and CARD in wanted and is_ours(wanted[CARD]):
            present = Path(api.hf_hub_download(**to.address, filename=CARD, revision=parent))
            kept_card = not is_ours(present)
        if kept_card:
            del wanted[CARD]
        removed = [path for path in there - wanted.keys() if path.partition("/")[0] in owned]
        operations: list[Any] = [hub.CommitOperationDelete(path) for path in sorted(removed)]
        for path, content in wanted.items():
            operations.append(hub.CommitOperationAdd(path, content))
        commit = api.create_commit(
            **to.address, operations=operations, commit_message="xlvla push", parent_commit=parent
        )
        _require_all(wanted, api.list_repo_files(**to.address, revision=commit.oid), to)
        if tag:
            _move_tag(api, to, tag, commit.oid)
    return Pushed(commit.commit_url, commit.oid != parent, len(removed), kept_card)


def is_ours(card: Content) -> bool:
    """Whether a card was written by xlvla, not by somebody."""
    content = card.read_bytes() if isinstance(card, Path) else card
    return MARK.encode() in content


def _require_all(wanted: Collection[str], there: Collection[str], to: Repository) -> None:
    """Looks whether all has arrived: what a .gitignore of the repository names is left out without
    a word.
    """
    lost = sorted(set(wanted) - set(there))
    if lost:
        raise XlvlaError(
            f"{to} left out {len(lost)} files, such as {plain(lost[0], 200)}: does its .gitignore "
            "name them?"
        )


def _move_tag(api: Any, to: Repository, tag: str, commit: str) -> None:
    for known in api.list_repo_refs(**to.address).tags:
        if known.name == tag:
            if known.target_commit == commit:
                return
            api.delete_tag(**to.address, tag=tag)
    api.create_tag(**to.address, tag=tag, revision=commit)


def local_files(folder: Path) -> dict[str, Path]:
    """Files in a folder by their path in it, also behind links, hidden ones not. The client's own
    search leaves linked folders out without a word.
    """
    found: dict[str, Path] = {}
    seen: set[Path] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = Path(parent).resolve()
        # A link may lead back up.
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                path = Path(parent) / name
                found[path.relative_to(folder).as_posix()] = path
    return found
