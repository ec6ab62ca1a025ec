"""A codec, a rig, episodes of discs and a little trained policy, made once."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import synthetic

from xlvla import rig_file
from xlvla.codec import Codec
from xlvla.rig import Rig
from xlvla_data.store import Stored
from xlvla_policy.training import dataset, sources
from xlvla_policy.training.batches import Batches
from xlvla_policy.training.dataset import Demonstrations, Recorded
from xlvla_policy.vla import checkpoint, config, tokenizer
from xlvla_policy.vla.checkpoint import ModelCard
from xlvla_policy.vla.model import Vla

TINY = config.preset("tiny")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def codec() -> Codec:
    return Codec.load()


@pytest.fixture(scope="session")
def rig() -> Rig:
    return rig_file.load("bimanual")


@pytest.fixture(scope="session")
def stored(tmp_path_factory, rig, codec) -> list[Stored]:
    return synthetic.write(tmp_path_factory.mktemp("discs"), rig, codec, 6)


@pytest.fixture(scope="session")
def recorded(stored, codec) -> list[Recorded]:
    return [
        dataset.read(source, TINY, codec) for source in sources.find([str(stored[0].data.root)])
    ]


@pytest.fixture(scope="session")
def data(recorded) -> Demonstrations:
    return dataset.load(recorded, TINY)


@pytest.fixture(scope="session")
def batches(data) -> Batches:
    return Batches(data, TINY, dataset.statistics(data.recorded), tokenizer.load(TINY.max_words))


@pytest.fixture
def model() -> Vla:
    torch.manual_seed(0)
    return Vla(TINY)


@pytest.fixture(scope="session")
def weights(tmp_path_factory, batches, codec) -> Path:
    """A policy file with random weights."""
    torch.manual_seed(1)
    card = ModelCard(TINY, batches.statistics, codec.hash, batches.tokenizer.hash, {"episodes": 6})
    return checkpoint.save(
        tmp_path_factory.mktemp("policy") / "tiny.safetensors", Vla(TINY).state_dict(), card
    )


@pytest.fixture
def rows(data) -> np.ndarray:
    return np.arange(len(data))
