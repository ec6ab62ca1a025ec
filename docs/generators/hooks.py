"""Adds pages that are made from the code, and from files of the repository, while MkDocs builds.

Nothing that is generated is ever written to docs/.
"""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import api
import commands
import devices
import errors
import graph
import repository
import rigs

SECTIONS = {"reference/commands/": commands.nav, "reference/api/": api.nav}
"""Entries of the navigation that stand for a list of generated pages."""

GENERATORS = (repository, commands, rigs, devices, graph, errors, api)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replaces the entries of `SECTIONS` by the pages they stand for."""
    for section in config.nav or []:
        for title, entries in section.items():
            if isinstance(entries, list):
                section[title] = [_expanded(entry) for entry in entries]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the generated pages."""
    for generator in GENERATORS:
        for path, text in generator.pages().items():
            files.append(File.generated(config, path, content=text))
    return files


def _expanded(entry: dict[str, str]) -> dict[str, object]:
    title, path = next(iter(entry.items()))
    if path in SECTIONS:
        return {title: SECTIONS[path]()}
    return {title: path}
