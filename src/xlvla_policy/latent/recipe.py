"""Recipes of the codec: the paper's, and ours."""

from __future__ import annotations

from dataclasses import dataclass

from xlvla.errors import unknown


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes a codec but the hands and the seed.

    Args:
        encoder, decoder: hidden widths.
        normalised: layer normalisation before each activation.
        sampled: decode a sample of the posterior in training; False decodes its mean.
        batch: poses per network and step.
        steps: steps of the right hands, which shape the latent.
        left_steps: steps of left hands that are no mirror images; 0 leaves them the right hand's weights, like the paper.
        left_rate: their learning rate; they start as copies, so a gentle one.
        reconstruction, distance, direction, kl: weights of the losses (paper, section 3); distance per m^2.
        reach: the pinch weight is exp(-reach |d|) ...
        tight, tight_reach: ... plus tight * exp(-tight_reach |d|), [1/m].
        twin: weight per m^2 on fingertip positions between the two sides of a hand that are not exact mirrors.
        one_cycle: warm the learning rate up and anneal it to nothing; False keeps it constant.
        mixture: shares of uniform, near-pinch, half-open and extreme poses in a batch.
        pool: random poses per embodiment whose tightest are pinches.
        templates: random poses that are closed to pinches by descent.
    """

    name: str
    encoder: tuple[int, ...] = (128, 256, 128)
    decoder: tuple[int, ...] = (256, 256, 256)
    latent: int = 32
    activation: str = "silu"
    normalised: bool = False
    sampled: bool = True
    batch: int = 384
    steps: int = 4000
    left_steps: int = 600
    rate: float = 2e-3
    left_rate: float = 6e-4
    one_cycle: bool = True
    reconstruction: float = 60.0
    distance: float = 2000.0
    direction: float = 5.0
    kl: float = 1e-5
    reach: float = 12.0
    tight: float = 6.0
    tight_reach: float = 60.0
    twin: float = 1000.0
    mixture: tuple[float, float, float, float] = (0.45, 0.35, 0.1, 0.1)
    pool: int = 131072
    templates: int = 2048


DEFAULT = Recipe("default")

PAPER = Recipe(
    "paper",
    encoder=(64, 128, 64),
    decoder=(64, 128, 64),
    activation="relu",
    normalised=True,
    batch=1024,
    steps=1000,
    left_steps=0,
    one_cycle=False,
    reconstruction=1.0,
    tight=0.0,
    twin=0.0,
    mixture=(0.5, 0.5, 0.0, 0.0),
)

PRESETS = {recipe.name: recipe for recipe in (DEFAULT, PAPER)}


def preset(name: str) -> Recipe:
    if name not in PRESETS:
        raise unknown("codec preset", name, PRESETS)
    return PRESETS[name]
