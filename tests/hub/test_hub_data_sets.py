"""Data sets pushed to a Hub and pulled from it, with the real client."""

import os
import shutil
import subprocess
import sys

import hub_server
import pytest
import yaml
from made_episodes import episode, run

from xlvla.errors import XlvlaError
from xlvla.hub.pull import pulled_from
from xlvla_data import hub, store
from xlvla_data.lerobot import layout

constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra 'hub'")

NAME = "lab/cans"


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A data set of one episode."""
    return store.Store(tmp_path_factory.mktemp("made")).add(episode())


@pytest.fixture
def data_set(made, tmp_path):
    """A copy of it that may be changed."""
    return shutil.copytree(made, tmp_path / made.name)


def content(folder):
    """Files by path, all but hidden ones."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part[0] == "." for part in path.relative_to(folder).parts)
    }


def card_of(server):
    text = server.repos[NAME].files["README.md"].decode()
    block = text.split("---\n")[1]
    return yaml.safe_load(block), text


def test_a_data_set_comes_back_as_it_was_pushed(server, data_set, tmp_path):
    output, code = run("push", data_set, NAME)
    assert code == 0 and "/datasets/lab/cans/commit/" in output
    output, code = run("pull", NAME, "--to", tmp_path / "back")
    assert code == 0 and "files fetched" in output
    back = content(tmp_path / "back")
    del back["README.md"]
    assert back == content(data_set)
    assert run("check", tmp_path / "back")[1] == 0


def test_environment_variables_choose_server_token_and_home(server, data_set, tmp_path):
    environment = {
        **os.environ,
        "HF_ENDPOINT": server.address,
        "HF_TOKEN": hub_server.TOKEN,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }

    def command(*arguments):
        call = [sys.executable, "-m", "xlvla", *map(str, arguments)]
        return subprocess.run(
            call, capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path
        )

    pushed = command("data", "push", data_set, NAME)
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.startswith(server.address) and not pushed.stderr
    pulled = command("data", "pull", NAME)
    assert pulled.returncode == 0, pulled.stderr
    assert (tmp_path / "data/cans" / layout.INFO).is_file() and not pulled.stderr
    environment["HF_TOKEN"] = "hf_another"
    refused = command("data", "push", data_set, NAME)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1 and "HF_TOKEN" in refused.stderr


def test_a_new_repository_is_private_unless_it_is_to_be_public(server, data_set):
    hub.push(data_set, NAME)
    hub.push(data_set, "lab/open", public=True)
    assert server.repos[NAME].private
    assert not server.repos["lab/open"].private


def test_the_card_tells_what_is_in_it(server, data_set):
    hub.push(data_set, NAME, license="cc-by-4.0")
    facts, text = card_of(server)
    assert facts["license"] == "cc-by-4.0"
    assert facts["task_categories"] == ["robotics"]
    assert {"LeRobot", "inspire"} <= set(facts["tags"])
    assert facts["configs"] == [{"config_name": "default", "data_files": "data/*/*.parquet"}]
    assert "| push_cans | inspire | 1 | 0.0 | 1 of 1 |" in text
    assert "- Push the two tomato cans together." in text
    assert "left_arm_joint1" in text


def test_lerobot_finds_it_by_the_tag_of_its_version(server, data_set):
    hub.push(data_set, NAME)
    repo = server.repos[NAME]
    assert repo.tags == {"v3.0": repo.head}
    store.Store(data_set.parent).add(episode(1))
    hub.push(data_set, NAME)
    assert len(repo.commits) == 3
    assert repo.tags == {"v3.0": repo.head}


def test_a_card_that_somebody_wrote_stays(server, data_set):
    hub.push(data_set, NAME)
    repo = server.repos[NAME]
    repo.commit({**repo.files, "README.md": b"---\ntags: []\n---\nOurs, by hand.\n"})
    assert hub.push(data_set, NAME).kept_card
    assert repo.files["README.md"].endswith(b"by hand.\n")
    (data_set / "README.md").write_text("---\ntags: []\n---\nIn the folder.\n")
    assert not hub.push(data_set, NAME).kept_card
    assert repo.files["README.md"].endswith(b"In the folder.\n")


def test_pushing_again_sends_only_what_is_new_and_removes_what_is_gone(server, data_set):
    hub.push(data_set, NAME)
    assert not hub.push(data_set, NAME).changed
    store.Store(data_set.parent).add(episode(1))
    extra = data_set / "data/chunk-000/file-000.parquet"
    repo = server.repos[NAME]
    repo.commit({**repo.files, "data/chunk-007/left.parquet": b"old", "notes.txt": b"kept"})
    server.requests.clear()
    pushed = hub.push(data_set, NAME)
    assert pushed.changed and pushed.removed == 1
    assert "data/chunk-007/left.parquet" not in repo.files and "notes.txt" in repo.files
    assert repo.files["data/chunk-000/file-000.parquet"] == extra.read_bytes()
    # Two files of the new episode, and the tables of both.
    assert len(server.asked("PUT")) == 3


def test_what_has_gone_over_is_not_sent_again_after_a_failure(server, data_set):
    server.faults["POST", "/commit/"] = [503]
    with pytest.raises(XlvlaError, match=r"busy or has a fault \(503.*try again"):
        hub.push(data_set, NAME)
    assert server.asked("PUT")
    server.requests.clear()
    assert hub.push(data_set, NAME).changed
    assert not server.asked("PUT")


def test_a_push_between_ours_is_not_overwritten(server, data_set):
    hub.push(data_set, NAME)
    store.Store(data_set.parent).add(episode(1))
    repo = server.repos[NAME]
    theirs = {**repo.files, "notes.txt": b"theirs"}
    server.faults["POST", "/commit/"] = [lambda: repo.commit(theirs)]
    with pytest.raises(XlvlaError, match="another push came in between"):
        hub.push(data_set, NAME)
    assert repo.files == theirs


def test_linked_folders_are_pushed_as_what_they_hold(server, data_set, tmp_path):
    (data_set / "videos").rename(tmp_path / "elsewhere")
    (data_set / "videos").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(data_set)
    hub.push(data_set, NAME)
    videos = [path for path in server.repos[NAME].files if path.startswith("videos/")]
    assert videos == ["videos/observation.images.front/chunk-000/file-000.mp4"]


def test_files_that_the_repository_ignores_are_an_error(server, data_set):
    server.make(NAME, {".gitignore": b".mp4"})
    with pytest.raises(XlvlaError, match=r"left out 1 files.*file-000\.mp4.*\.gitignore"):
        hub.push(data_set, NAME)


def test_several_data_sets_are_not_one_repository(server, data_set, tmp_path):
    store.Store(tmp_path).add(episode(hands=("xhand", "xhand")))
    with pytest.raises(XlvlaError, match="holds 2 data sets"):
        hub.push(tmp_path, NAME)
    (tmp_path / "none").mkdir()
    with pytest.raises(XlvlaError, match="holds no data set"):
        hub.push(tmp_path / "none", NAME)
    assert not server.repos


@pytest.mark.parametrize(
    "name", ["cans", "lab/cans/x", "lab/cans@", "https://x/y", "", "lab/cans@v1"]
)
def test_a_name_of_no_repository_is_refused_before_anything_is_sent(server, data_set, name):
    with pytest.raises(XlvlaError):
        hub.push(data_set, name)
    assert not server.requests


def test_pulling_again_fetches_only_what_has_changed(server, data_set, tmp_path):
    hub.push(data_set, NAME)
    to = tmp_path / "back"
    _, first = hub.pull(NAME, to)
    server.requests.clear()
    _, second = hub.pull(NAME, to)
    assert second.fetched == 0 and second.size == first.size
    assert not server.asked("GET", "/resolve/")
    store.Store(data_set.parent).add(episode(1))
    hub.push(data_set, NAME)
    server.requests.clear()
    _, third = hub.pull(NAME, to)
    assert third.commit == server.repos[NAME].head == pulled_from(to).partition("@")[2]
    assert not server.asked("GET", "file-000.mp4") and server.asked("GET", "file-001.mp4")
    assert len(store.find(to)) == 2


def test_files_that_left_the_repository_leave_the_folder(server, data_set, tmp_path):
    hub.push(data_set, NAME)
    repo = server.repos[NAME]
    repo.commit({**repo.files, "data/chunk-009/old.parquet": b"old"})
    to = tmp_path / "back"
    hub.pull(NAME, to)
    assert (to / "data/chunk-009/old.parquet").is_file()
    hub.push(data_set, NAME)
    hub.pull(NAME, to)
    assert not (to / "data/chunk-009/old.parquet").exists()


def test_an_interrupted_pull_leaves_no_data_set_and_goes_on(server, data_set, tmp_path):
    hub.push(data_set, NAME)
    to = tmp_path / "back"
    server.faults["GET", "file-000.mp4"] = [404]
    with pytest.raises(XlvlaError, match="lab/cans cannot be pulled"):
        hub.pull(NAME, to)
    assert not store.roots(to) and list(to.rglob("*.parquet"))
    server.requests.clear()
    hub.pull(NAME, to)
    assert len(store.find(to)) == 1
    assert not server.asked("GET", "tasks.parquet")


def test_a_file_that_breaks_off_is_completed(server, data_set, tmp_path):
    hub.push(data_set, NAME)
    server.faults["GET", "file-000.mp4"] = [hub_server.CUT]
    to = tmp_path / "back"
    hub.pull(NAME, to)
    assert len(server.asked("GET", "file-000.mp4")) == 2
    assert content(to)["videos/observation.images.front/chunk-000/file-000.mp4"]


def test_an_update_that_the_server_does_not_answer_is_not_taken_for_one(server, data_set, tmp_path):
    hub.push(data_set, NAME)
    to = tmp_path / "back"
    hub.pull(NAME, to)
    repo = server.repos[NAME]
    stats = repo.files["meta/stats.json"]
    repo.commit({**repo.files, "meta/stats.json": stats.replace(b"0", b"1", 1)})
    server.faults["HEAD", "stats.json"] = [500] * 99
    with pytest.raises(XlvlaError, match=r"stats\.json is missing or another.*pull again"):
        hub.pull(NAME, to)
    assert not store.roots(to)
    server.faults.clear()
    hub.pull(NAME, to)
    assert content(to)["meta/stats.json"] == repo.files["meta/stats.json"]


def test_nothing_of_the_users_is_lost_by_a_pull(server, data_set, tmp_path):
    hub.push(data_set, NAME)
    to = tmp_path / "back"
    to.mkdir()
    (to / "mine.txt").write_text("mine")
    with pytest.raises(XlvlaError, match="is there, and not from a pull"):
        hub.pull(NAME, to)
    assert [path.name for path in to.iterdir()] == ["mine.txt"]
    to = tmp_path / "other"
    hub.pull(NAME, to)
    (to / "meta/stats.json").write_text("{}")
    with pytest.raises(XlvlaError, match=r"stats\.json was changed since it was pulled"):
        hub.pull(NAME, to)
    with pytest.raises(XlvlaError, match="holds what was pulled from lab/cans"):
        hub.pull("lab/others", to)


def test_a_file_of_the_user_where_one_comes_is_not_overwritten(server, data_set, tmp_path):
    hub.push(data_set, NAME)
    to = tmp_path / "back"
    hub.pull(NAME, to)
    (to / "notes.txt").write_text("mine")
    repo = server.repos[NAME]
    repo.commit({**repo.files, "notes.txt": b"theirs"})
    with pytest.raises(XlvlaError, match=r"notes\.txt did not come from the Hub"):
        hub.pull(NAME, to)
    assert (to / "notes.txt").read_text() == "mine"


def test_a_repository_that_holds_no_data_set_of_this_version_is_refused_early(server, tmp_path):
    server.make("lab/text", {"data.csv": b"a,b"})
    with pytest.raises(XlvlaError, match=r"no LeRobot v3 data set: it has no meta/info\.json"):
        hub.pull("lab/text", tmp_path / "text")
    old = b'{"codebase_version": "v2.1", "fps": 20, "features": {}}'
    server.make("lab/old", {"meta/info.json": old, "data/a.parquet": b"large"})
    with pytest.raises(XlvlaError, match=r"version v2\.1.*convert"):
        hub.pull("lab/old", tmp_path / "old")
    assert not server.asked("GET", "a.parquet")


def test_a_file_that_leads_out_of_its_repository_is_refused(server, tmp_path):
    server.make("lab/evil", {"meta/info.json": b"{}", "../../evil.txt": b"x"})
    with pytest.raises(XlvlaError, match="leads out of it"):
        hub.pull("lab/evil", tmp_path / "a/b")
    assert not (tmp_path / "evil.txt").exists()


def test_what_cannot_be_reached_is_one_line_with_what_to_do(
    server, data_set, tmp_path, monkeypatch
):
    to = tmp_path / "back"
    with pytest.raises(XlvlaError, match="has no such dataset, or not for you"):
        hub.pull("lab/nothing", to)
    hub.push(data_set, NAME)
    with pytest.raises(XlvlaError, match="has no revision 'v9'"):
        hub.pull(f"{NAME}@v9", to)
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(XlvlaError, match="HF_TOKEN"):
        hub.pull(NAME, to)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(XlvlaError, match=r"http://127\.0\.0\.1:1 does not answer"):
        hub.pull(NAME, to)


def test_without_the_network_what_was_pulled_serves(server, data_set, monkeypatch):
    hub.push(data_set, NAME)
    place = hub.on_disk(f"hub:{NAME}=0.3")
    folder, _, weight = place.rpartition("=")
    assert weight == "0.3" and len(store.roots(hub.pull(NAME)[0])) == 1
    server.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    again, pulled = hub.pull(NAME)
    assert str(again) == folder and pulled.offline and not server.requests
    with pytest.raises(XlvlaError, match="HF_HUB_OFFLINE forbids"):
        hub.pull("lab/others")
