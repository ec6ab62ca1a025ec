"""Pages that are files of the repository.

The home page is README.md; the page of examples shows the files of examples/.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

COPIED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages by the file they are made of."""

AS_THEY_ARE = ("LICENSE", "CITATION.cff")

EXAMPLES_PAGE = "start/examples.md"

EXAMPLES_HEAD = """# Examples

The files of `examples/`, each run by the tests. Start one with the environment of `make setup`:

```
. .venv/bin/activate
python examples/01_encode_and_decode.py
```
"""

_LINK = re.compile(r"(\]\()(?!https?:|#)([^)]+)(\))")


def pages() -> dict[str, str]:
    """The pages by path."""
    made = {EXAMPLES_PAGE: _examples()}
    for name, page in COPIED.items():
        made[page] = _with_links_of_the_site((ROOT / name).read_text())
    for name in AS_THEY_ARE:
        made[name] = (ROOT / name).read_text()
    return made


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
    paths = sorted(EXAMPLES.glob("[0-9]*.py"))
    return "\n".join([EXAMPLES_HEAD, *map(_example, paths)])


def _example(path: Path) -> str:
    """Heading, the first sentence of the docstring, and the source with the files it names."""
    number, _, words = path.stem.partition("_")
    source = path.read_text()
    docstring = ast.get_docstring(ast.parse(source)) or ""
    summary = docstring.partition("\n\n")[0]
    heading = f"## {number} {words.replace('_', ' ').capitalize()}"
    listings = [_listing(path), *map(_listing, _named_files(source))]
    return "\n\n".join([heading, summary, *listings, ""])


def _named_files(source: str) -> list[Path]:
    """The Python and YAML files beside the examples that one of them names."""
    found = []
    for path in sorted(EXAMPLES.rglob("*")):
        is_example = path.parent == EXAMPLES and path.suffix == ".py"
        if path.suffix in (".py", ".yaml") and not is_example and path.name in source:
            found.append(path)
    return found


def _listing(path: Path) -> str:
    language = "python" if path.suffix == ".py" else "yaml"
    title = path.relative_to(ROOT)
    return f'```{language} title="{title}"\n{path.read_text().rstrip()}\n```'
