"""The folder for sockets, links and keys in the folder for temporary files, which belongs to
everybody.
"""

import os
import stat
import tempfile

import pytest

from xlvla.errors import XlvlaError
from xlvla_drivers import registry
from xlvla_drivers.arms.g1 import Driver, Options, socket_path
from xlvla_drivers.own_folder import own_folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where the folder will be."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"xlvla-{os.getuid()}"


def test_it_is_made_for_its_user_alone(place):
    assert own_folder() == place
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert socket_path("lo@1").parent == place
    assert registry.emulated_address("ability", "left").startswith(f"{place}/")


def test_one_that_others_could_read_is_closed_to_them(place):
    place.mkdir(mode=0o755)
    own_folder()
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def link(place):
    elsewhere = place.with_name("elsewhere")
    elsewhere.mkdir()
    place.symlink_to(elsewhere)


def dangling(place):
    place.symlink_to(place.with_name("nowhere"))


def file(place):
    place.touch()


def writable(place):
    place.mkdir()
    place.chmod(0o777)


def foreign(place):
    if os.getuid() != 0:
        pytest.skip("only root gives folders away")
    place.mkdir()
    os.chown(place, 12345, 12345)


@pytest.mark.parametrize(
    ("put", "words"),
    [
        (link, "is no folder"),
        (dangling, "is no folder"),
        (file, "is no folder"),
        (writable, "can be written by other users"),
        (foreign, "belongs to another user (12345)"),
    ],
)
def test_what_somebody_else_put_in_its_place_is_refused_with_one_line(place, put, words):
    put(place)
    before = stat.S_IMODE(place.lstat().st_mode)
    for use in (
        own_folder,
        lambda: Driver("lo@1", "left", Options()),
        lambda: registry.emulated_address("ability", "left"),
    ):
        with pytest.raises(XlvlaError) as refused:
            use()
        assert words in str(refused.value) and "\n" not in str(refused.value)
    assert stat.S_IMODE(place.lstat().st_mode) == before


@pytest.mark.parametrize("address", ["../eth0@1", "/tmp/x", "a/b"])
def test_an_interface_with_a_slash_is_no_address_of_a_g1(place, address):
    with pytest.raises(XlvlaError, match="is no address of a G1"):
        socket_path(address)
