import pytest

from xlvla.codec import Codec


@pytest.fixture(scope="session")
def codec() -> Codec:
    return Codec.load()
