"""Weights of a policy that was never trained, for the tests of the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xarm_statistics import of_xarms

pytest.importorskip("rclpy")

from xlvla import rig_file
from xlvla.codec import Codec
from xlvla_policy.vla import checkpoint, config, tokenizer
from xlvla_policy.vla.model import Vla


@pytest.fixture(scope="session")
def untrained_weights(tmp_path_factory) -> Callable[..., Path]:
    """Makes a small policy that was never trained: it keeps near home and takes so many steps to
    decide.
    """

    def made(steps: int, **changes: Any) -> Path:
        torch.manual_seed(0)
        shape = replace(config.preset("tiny"), steps=steps, **changes)
        rig = rig_file.load("bimanual")
        home = np.concatenate(
            [[*rig.home(side).values(), *[0.0] * 32] for side in rig.sides]
        ).astype(np.float32)
        statistics = of_xarms(shape, home, np.full_like(home, 0.02))
        words = tokenizer.load(shape.max_words).hash
        card = checkpoint.ModelCard(
            shape, statistics, Codec.load().hash, words, {"untrained": True}
        )
        return checkpoint.save(
            tmp_path_factory.mktemp("weights") / f"{steps}.safetensors",
            Vla(shape).state_dict(),
            card,
        )

    return made


@pytest.fixture(scope="session")
def untrained(untrained_weights) -> Path:
    return untrained_weights(10)
