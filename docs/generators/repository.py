"""Pages that are files of the repository: the home page is README.md, examples are listed with their source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

COPIED = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
EXAMPLES_PAGE = "start/examples.md"
AS_THEY_ARE = ("LICENSE", "CITATION.cff")

_LINK = re.compile(r"(\]\()(?!https?:|#)([^)]+)(\))")


def pages() -> dict[str, str]:
    """The pages by path."""
    copied = {page: _with_links_of_the_site((ROOT / name).read_text()) for name, page in COPIED.items()}
    files = {name: (ROOT / name).read_text() for name in AS_THEY_ARE}
    return {**copied, **files, EXAMPLES_PAGE: _examples()}


def _with_links_of_the_site(text: str) -> str:
    """Links relative to the repository's root become links between pages."""
    return _LINK.sub(lambda match: match[1] + _page(match[2]) + match[3], text)


def _page(target: str) -> str:
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    if target.startswith("examples/"):
        return EXAMPLES_PAGE
    return COPIED.get(target, target)


def _examples() -> str:
    lines = [
        "# Examples",
        "",
        "The files of `examples/`, each run by the tests. Start one with the environment of `make setup`:",
        "",
        "```",
        ". .venv/bin/activate",
        "python examples/01_encode_decode.py",
        "```",
        "",
    ]
    for path in sorted((ROOT / "examples").glob("[0-9]*.py")):
        source = path.read_text()
        title = path.stem[3:].replace("_", " ").capitalize()
        lines += [f"## {path.stem[:2]} {title}", ""]
        summary = (ast.get_docstring(ast.parse(source)) or "").partition("\n\n")[0]
        lines += [" ".join(summary.split()), "", f'```python title="examples/{path.name}"', source.rstrip(), "```", ""]
    return "\n".join(lines)
