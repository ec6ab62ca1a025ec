"""Examples in docstrings are true."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"


def _modules() -> list[str]:
    """Names of the modules with examples."""
    found = [path for path in sorted(SOURCE.rglob("*.py")) if ">>> " in path.read_text()]
    return [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in found]


@pytest.mark.parametrize("name", _modules())
def test_what_a_docstring_shows_comes_out(name):
    if ".ros." in name:
        pytest.importorskip("rclpy")
    ran = doctest.testmod(import_module(name))
    assert ran.attempted > 0 and ran.failed == 0
