"""Bringing a repository of the Hub to a folder.

The client returns without an error where its server fell silent and a file of an older commit lies
there, and it does not look for files that the repository no longer has. So what was pulled is
recorded, and every file compared with its hash.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from xlvla import files
from xlvla.errors import XlvlaError
from xlvla.hub import client
from xlvla.hub.client import Repository
from xlvla.text import plain

RECORD = ".cache/xlvla/pulled.json"
LOCK = ".cache/xlvla/lock"
BLOCK = 1 << 20

Look = Callable[[str], Path]
"""Fetches one file of the repository, to look at it before all others are fetched."""

Accept = Callable[[Collection[str], Look], None]
"""Raises XlvlaError for the paths of a repository that is not of the sort that is wanted."""


@dataclass(frozen=True)
class Pulled:
    """What lies in a folder.

    Args:
        fetched: number of files that were not there before.
        size: of all [bytes].
        offline: it was not asked whether there is something newer.
    """

    commit: str
    fetched: int
    size: int
    offline: bool = False


@dataclass(frozen=True)
class _File:
    """A file: its git hash, or SHA-256 for a large one, and when it was changed [ns] here."""

    size: int
    hash: str
    changed_ns: int = 0


@dataclass(frozen=True)
class _Record:
    """What a pull left in a folder, so that the next one destroys no work of the user.

    Args:
        commit: '' while a pull is under way.
    """

    kind: str
    name: str
    revision: str = ""
    commit: str = ""
    files: Mapping[str, _File] = field(default_factory=dict[str, _File])

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files.values())


def pull(source: Repository, to: Path, accept: Accept, *, last: str = "") -> Pulled:
    """Makes a folder hold what a repository holds. An interrupted pull goes on where it was, and
    what has not changed is not fetched again.

    Args:
        to: a folder that an earlier pull made, or none yet.
        last: path without which the rest is not read: it comes when all else is there.

    Raises:
        XlvlaError: there is no such repository, it is not accepted, cannot be reached, or the
            folder holds something that would be lost.
    """
    offline: bool = client.library().constants.HF_HUB_OFFLINE
    if to.is_dir() and not (to / LOCK).is_file() and any(to.iterdir()):
        raise XlvlaError(
            f"{to} is there, and not from a pull: choose another --to, so that nothing is lost"
        )
    with _alone(to):
        record = _read_record(source, to)
        if record.commit:
            _require_unchanged(record, to)
            if offline and record.revision == source.revision:
                return Pulled(record.commit, 0, record.size, offline=True)
        with client.asking(source, "pulled"):
            return _bring(source, to, record, accept, last)


def pulled_from(folder: Path) -> str:
    """`user/name@commit` where a folder was pulled; '' where not."""
    try:
        document = json.loads((folder / RECORD).read_text())
        name, commit = document["name"], document["commit"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return f"{name}@{commit}" if commit else ""


def _bring(source: Repository, to: Path, record: _Record, accept: Accept, last: str) -> Pulled:
    hub = client.library()
    api = client.api()
    commit = str(api.repo_info(**source.address, revision=source.revision).sha)
    here = {path: file for path, file in record.files.items() if (to / path).is_file()}
    if record.commit == commit and len(here) == len(record.files):
        return Pulled(commit, 0, record.size)

    def look(path: str) -> Path:
        return Path(api.hf_hub_download(**source.address, filename=path, revision=commit))

    def fetch(paths: Collection[str], **options: str) -> None:
        hub.snapshot_download(**source.address, revision=commit, local_dir=to, **options)
        for path in paths:
            _require_whole(source, to, path, listed[path])

    tree = api.list_repo_tree(**source.address, revision=commit, recursive=True)
    listed = _listed(source, tree)
    accept(listed.keys(), look)
    missing: list[str] = []
    for path, file in listed.items():
        if path not in here or here[path].hash != file.hash:
            missing.append(path)
    if record.commit:
        _require_no_others(to, set(missing) - record.files.keys())
    _require_space(to, sum(listed[path].size for path in missing))

    _write_record(replace(record, commit=""), to)
    if last:
        (to / last).unlink(missing_ok=True)
        fetch([path for path in missing if path != last], ignore_patterns=last)
    fetch(missing)
    for path in record.files.keys() - listed.keys():
        (to / path).unlink(missing_ok=True)
    now: dict[str, _File] = {}
    for path, file in listed.items():
        now[path] = replace(file, changed_ns=(to / path).stat().st_mtime_ns)
    whole = replace(record, revision=source.revision, commit=commit, files=now)
    _write_record(whole, to)
    return Pulled(commit, len(missing), whole.size)


def _listed(source: Repository, tree: Iterable[Any]) -> dict[str, _File]:
    """The files of a repository by path; raises XlvlaError where one leads out of it."""
    listed: dict[str, _File] = {}
    for entry in tree:
        # Folders have no size.
        if not hasattr(entry, "size"):
            continue
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts:
            raise XlvlaError(f"{source} has a file that leads out of it: {plain(path, 200)}")
        hash = entry.lfs.sha256 if entry.lfs else entry.blob_id
        listed[entry.path] = _File(entry.size, hash)
    return listed


def _require_whole(source: Repository, to: Path, path: str, file: _File) -> None:
    """Compares a file with its hash; another one is removed, so that it is fetched again."""
    here = to / path
    if here.is_file() and _is(here, file):
        return
    here.unlink(missing_ok=True)
    raise XlvlaError(
        f"{source} has not come whole: {plain(path, 200)} is missing or another; what has come "
        "stays, pull again"
    )


def _is(path: Path, file: _File) -> bool:
    """Whether a file has this size and this hash: SHA-256, or git's, which is shorter."""
    if path.stat().st_size != file.size:
        return False
    digest = hashlib.sha256()
    if len(file.hash) < len(digest.hexdigest()):
        digest = hashlib.sha1(f"blob {file.size}\0".encode())
    with path.open("rb") as content:
        while block := content.read(BLOCK):
            digest.update(block)
    return digest.hexdigest() == file.hash


def _require_unchanged(record: _Record, to: Path) -> None:
    """Refuses a folder in which files were changed since they were pulled."""
    for path, file in record.files.items():
        here = to / path
        if not here.is_file():
            continue
        stat = here.stat()
        if (stat.st_size, stat.st_mtime_ns) != (file.size, file.changed_ns):
            raise XlvlaError(
                f"{here} was changed since it was pulled, and would be lost: choose another --to, "
                "or push it first"
            )


def _require_no_others(to: Path, paths: Collection[str]) -> None:
    """Refuses to overwrite files that did not come from the repository."""
    for path in sorted(paths):
        if (to / path).exists():
            raise XlvlaError(
                f"{to / path} did not come from the Hub, and would be lost: choose another --to"
            )


def _require_space(to: Path, size: int) -> None:
    free = shutil.disk_usage(to).free
    if size > free:
        raise XlvlaError(
            f"{to} has {free / 1e9:.1f} GB free and the rest takes {size / 1e9:.1f} GB: choose a "
            "--to on another disk"
        )


@contextmanager
def _alone(to: Path) -> Generator[None, None, None]:
    """One pull into a folder at a time: processes of one training wait for the first."""
    lock = to / LOCK
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read_record(source: Repository, to: Path) -> _Record:
    path = to / RECORD
    if not path.is_file():
        return _Record(source.kind, source.name)
    with files.reading_card(path):
        document = json.loads(path.read_text())
        by_path = {name: _File(**file) for name, file in document.pop("files").items()}
        record = _Record(**document, files=by_path)
    if (record.kind, record.name) != (source.kind, source.name):
        raise XlvlaError(
            f"{to} holds what was pulled from {record.name}: choose another --to for {source.name}"
        )
    return record


def _write_record(record: _Record, to: Path) -> None:
    files.write_text(to / RECORD, json.dumps(asdict(record)) + "\n")
