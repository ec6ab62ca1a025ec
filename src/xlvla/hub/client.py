"""The Hub's own client, `huggingface_hub`, which takes token, server and folders from its own
environment variables: HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_OFFLINE and others.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xlvla import __version__
from xlvla.errors import XlvlaError, machine_line
from xlvla.text import plain

Kind = Literal["dataset", "model"]

NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
MAIN = "main"
LOG_IN = "log in with `hf auth login` or HF_TOKEN"


@dataclass(frozen=True)
class Repository:
    """A repository of the Hub.

    Args:
        name: `user/name`.
        revision: branch, tag or commit to read.
    """

    kind: Kind
    name: str
    revision: str = MAIN

    def __str__(self) -> str:
        return self.name if self.revision == MAIN else f"{self.name}@{self.revision}"

    @property
    def address(self) -> dict[str, str]:
        """As the client's functions want it."""
        return {"repo_id": self.name, "repo_type": self.kind}


def repository(kind: Kind, text: str) -> Repository:
    """The repository that `user/name` or `user/name@revision` names; raises XlvlaError where it
    names none.
    """
    name, at, revision = text.partition("@")
    if not NAME.fullmatch(name) or (at and not revision):
        raise XlvlaError(
            f"'{text}' names no repository of the Hub: user/name is wanted, or user/name@revision"
        )
    return Repository(kind, name, revision or MAIN)


def library() -> Any:
    """The module, which not everybody has; imported when it is needed, since that takes its time.
    It draws bars on terminals only, and its warnings are left to our errors.
    """
    try:
        hub = importlib.import_module("huggingface_hub")
        for part in ("constants", "errors", "utils"):
            importlib.import_module(f"huggingface_hub.{part}")
    except ImportError:
        raise XlvlaError(
            "the Hub is asked through 'huggingface_hub': pip install 'xlvla[hub]'"
        ) from None
    if "HF_HUB_VERBOSITY" not in os.environ:
        hub.utils.logging.set_verbosity_error()
    if "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ and not sys.stderr.isatty():
        hub.utils.disable_progress_bars()
    return hub


def api() -> Any:
    """The calls of the Hub."""
    return library().HfApi(library_name="xlvla", library_version=__version__)


def home(kind: Kind) -> Path:
    """Folder in HF_HOME for what is pulled without being told where."""
    return Path(library().constants.HF_HOME) / "xlvla" / f"{kind}s"


@contextmanager
def asking(about: Repository, done: str) -> Generator[None, None, None]:
    """One line for whatever the client raises: `about cannot be done: ...`."""
    errors = library().errors
    # httpx's or httpx2's, as this version of the client has it.
    of_http: type[Exception] = errors.HTTPError
    try:
        yield
    except (of_http, OSError, RuntimeError, ValueError) as error:
        reason = machine_line(error) or _reason(error, errors, about)
        raise XlvlaError(f"{about} cannot be {done}: {reason}") from None


def _reason(error: BaseException, errors: Any, about: Repository) -> str:
    """What happened and what to do; what the client raises often hides the cause behind another
    error.
    """
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    endpoint = library().constants.ENDPOINT
    for cause in causes:
        if isinstance(cause, errors.GatedRepoError):
            return f"its owner lets in who asked: ask on its page, and {LOG_IN}"
        if isinstance(cause, errors.RevisionNotFoundError):
            return f"it has no revision '{about.revision}'"
        if isinstance(cause, errors.RepositoryNotFoundError):
            return (
                f"{endpoint} has no such {about.kind}, or not for you: look at the name, and "
                f"{LOG_IN}"
            )
        if isinstance(cause, errors.OfflineModeIsEnabled):
            return "HF_HUB_OFFLINE forbids to ask, and it was not pulled before"
        if isinstance(cause, errors.HfHubHTTPError):
            return _of_status(cause, endpoint)
    said = " ".join(str(causes[-1]).split()) or type(causes[-1]).__name__
    return f"{endpoint} does not answer as it should ({plain(said, 160)}); try again"


def _of_status(error: Any, endpoint: str) -> str:
    status: int = error.response.status_code
    said = plain(" ".join(str(error.server_message or "").split()), 160)
    detail = f"{status}: {said}" if said else str(status)
    # The branch is no longer where it was.
    if status in (409, 412):
        return f"another push came in between ({detail}); push again"
    if status in (401, 403):
        return f"not allowed ({detail}): {LOG_IN}, as one who may"
    if status == 429 or status >= 500:
        return f"{endpoint} is busy or has a fault ({detail}); what has gone over stays, try again"
    return f"{endpoint} refused it ({detail})"
