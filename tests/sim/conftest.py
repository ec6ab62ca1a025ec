import pytest

from xlvla import rig_file
from xlvla.codec import Codec
from xlvla.rig import Rig


@pytest.fixture(scope="session")
def codec() -> Codec:
    return Codec.load()


@pytest.fixture(scope="session")
def rig_with():
    """The bimanual rig with these hands."""

    def choose(left: str, right: str | None = None) -> Rig:
        return rig_file.with_choices(
            rig_file.load("bimanual"), hands={"left": left, "right": right or left}
        )

    return choose
