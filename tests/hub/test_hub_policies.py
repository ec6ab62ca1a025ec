"""Policies pushed to a Hub and pulled from it, and trained on what lies there."""

import pytest
import typer
import yaml
from made_episodes import episode
from typer.testing import CliRunner

from xlvla.errors import XlvlaError
from xlvla_cli import policy, train
from xlvla_data import hub as data_hub
from xlvla_data.store import Store
from xlvla_policy import hub
from xlvla_policy.training import run
from xlvla_policy.training.choice import Choice
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.vla import checkpoint, tokenizer

pytest.importorskip("huggingface_hub", reason="needs the extra 'hub'")

NAME = "lab/policy"
QUICK = Recipe(steps=1, minutes=None, batch=2, warm_up=1)


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("made"))
    store.add(episode(0, task="push_cans"))
    return store.add(episode(1, task="push_cans"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory, data_set):
    """A policy that was trained for a step."""
    out = tmp_path_factory.mktemp("policy") / "tiny.safetensors"
    run.train(Choice((str(data_set),), preset="tiny", threads=1), out, QUICK)
    return out


def command(group, *arguments):
    """Output of a command, or what it raises."""
    app = typer.Typer()
    group.register(app)
    done = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, list(map(str, arguments)))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_a_policy_comes_back_as_it_was_pushed(server, weights, tmp_path):
    output = command(policy, "policy", "push", weights, NAME, "--license", "apache-2.0")
    assert "/lab/policy/commit/" in output and "/datasets/" not in output
    repo = server.repos[NAME]
    assert repo.kind == "model" and repo.private
    to = tmp_path / "back"
    output = command(policy, "policy", "pull", NAME, "--to", to)
    assert str(to / "tiny.safetensors") in output
    assert (to / "tiny.safetensors").read_bytes() == weights.read_bytes()
    checkpoint.load(to / "tiny.safetensors")


def test_its_card_is_the_model_card_for_the_hub(server, weights):
    hub.push(weights, NAME, license="apache-2.0")
    text = server.repos[NAME].files["README.md"].decode()
    facts = yaml.safe_load(text.split("---\n")[1])
    assert facts["license"] == "apache-2.0" and facts["library_name"] == "xlvla"
    assert facts["pipeline_tag"] == "robotics" and "inspire" in facts["tags"]
    assert "xlvla policy pull lab/policy" in text
    ours = weights.with_suffix(".md").read_text()
    # Rows are in the order of the weights file.
    until = ours.index("## Recipe")
    assert set(ours[:until].splitlines()) <= set(text.splitlines())
    assert "| steps | 1 |" in text


def test_a_tokenizer_beside_the_weights_goes_with_them(server, weights, tmp_path):
    words = tokenizer.beside(weights)
    words.write_bytes(tokenizer.SHIPPED.read_bytes())
    try:
        hub.push(weights, NAME)
    finally:
        words.unlink()
    pulled, _ = hub.pull(NAME, tmp_path / "back")
    assert tokenizer.beside(pulled).read_bytes() == tokenizer.SHIPPED.read_bytes()


def test_damaged_weights_and_what_is_no_policy_are_not_pushed(server, weights, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    content = weights.read_bytes()
    damaged.write_bytes(content[:-4] + b"abcd")
    with pytest.raises(XlvlaError, match="was changed after it was written"):
        hub.push(damaged, NAME)
    (tmp_path / "text.safetensors").write_text("text")
    with pytest.raises(XlvlaError, match="is not a safetensors file"):
        hub.push(tmp_path / "text.safetensors", NAME)
    with pytest.raises(XlvlaError, match="no policy weights at"):
        hub.push(tmp_path / "nothing.safetensors", NAME)
    assert not server.requests


def test_a_repository_without_one_policy_is_refused_before_it_is_fetched(server, tmp_path):
    server.make("lab/parts", {"a.safetensors": b"a", "b.safetensors": b"b"}, "model")
    with pytest.raises(XlvlaError, match="it has 2 files"):
        hub.pull("lab/parts", tmp_path / "parts")
    assert not server.asked("GET", "/resolve/")


def test_a_policy_is_trained_on_a_data_set_of_the_hub(server, data_set, tmp_path):
    data_hub.push(data_set, "lab/cans")
    out = tmp_path / "p.safetensors"
    options = ("--preset", "tiny", "--steps", "1", "--batch", "2", "--threads", "1", "--out", out)
    command(train, "train", "policy", "--data", "hub:lab/cans@v3.0=0.5", *options)
    commit = server.repos["lab/cans"].head
    _, card = checkpoint.load(out)
    assert card.data["hub"] == [f"lab/cans@{commit}"]
    assert [row["name"] for row in card.data["sets"]] == ["cans"]
    hub.push(out, NAME)
    text = server.repos[NAME].files["README.md"].decode()
    assert yaml.safe_load(text.split("---\n")[1])["datasets"] == ["lab/cans"]
