"""A Hub of the tests' own, which the real client asks."""

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "data")]

import hub_server


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The server; the client's environment variables, which it reads when it is imported, are as
    if they were set for it.
    """
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra 'hub'")
    with hub_server.serving() as server:
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        home = tmp_path / "hf_home"
        monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HOME", str(home))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield server
