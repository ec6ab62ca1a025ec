"""The supervised baseline of the codec, trained once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from xlvla.codec import Codec


def supervised_codec(hands: Sequence[str], cache: Path, console: Console) -> Codec:
    """A supervised latent of right hands, trained once."""
    from xlvla.codec import Codec
    from xlvla_policy.latent.baselines import supervised

    path = cache / f"supervised-{'-'.join(hands)}.safetensors"
    if not path.is_file():
        console.print(
            f"pairing poses and training a supervised latent on them, {supervised.STEPS} steps: "
            f"{path}",
            soft_wrap=True,
        )
        supervised.train(supervised.pair(hands), path)
    return Codec.load(path)
