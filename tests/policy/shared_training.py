"""What every process of a shared run does in `test_shared_training`: trains a while, goes on from a
lone process's state.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from xlvla.codec import Codec
from xlvla_policy.training import dataset, parallel, sources, state
from xlvla_policy.training.batches import Batches
from xlvla_policy.training.loop import ALONE, Trainer
from xlvla_policy.training.parallel import Group
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.vla import config, tokenizer
from xlvla_policy.vla.model import Vla

RECIPE = Recipe(
    steps=4, minutes=None, batch=4, warm_up=1, recompute=True, committed=0.5, longest=24
)
HALF = replace(RECIPE, bf16=True)
PARTLY = replace(RECIPE, frozen=("vision",), lora={"language": 2, "action": 2})
TINY = config.preset("tiny")


def batches_of(data: str) -> Batches:
    recorded = [dataset.read(source, TINY, Codec.load()) for source in sources.find([data])]
    return Batches(
        dataset.load(recorded, TINY),
        TINY,
        dataset.statistics(recorded),
        tokenizer.load(TINY.max_words),
    )


def trainer(batches: Batches, recipe: Recipe, group: Group = ALONE) -> Trainer:
    torch.manual_seed(0)
    return Trainer(Vla(TINY), batches, np.arange(len(batches.data)), recipe, group)


def main(data: str, out: Path) -> None:
    torch.set_num_threads(1)
    group = parallel.join("cpu")
    batches = batches_of(data)
    losses = {}
    for name, recipe in (("whole", RECIPE), ("partly", PARTLY), ("half", HALF)):
        one = trainer(batches, recipe, group)
        losses[name] = [one.advance().loss for _ in range(2)]
        state.save(one, out / f"{name}.shared.state")
        losses[name] += [one.advance().loss for _ in range(2)]
        state.write(one, out / f"{name}.shared.safetensors", one.weights(torch.float32), {})
    resumed = trainer(batches, RECIPE, group)
    state.resume(resumed, out / "alone.state")
    losses["resumed"] = [resumed.advance().loss for _ in range(2)]
    if group.first:
        (out / "losses.json").write_text(json.dumps(losses))
    parallel.leave()
    parallel.end()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
