"""Recipes of the codec: the paper's, and ours."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xlvla.errors import unknown


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes a codec but the hands and the seed.

    Args:
        encoder, decoder: hidden widths.
        normalised: layer normalisation before each activation.
        sampled: decode a sample of the posterior in training; False decodes its mean.
        batch: poses per network and step.
        stride: a decoder is trained on every n-th pose of every other hand.
        own: a decoder is trained on every n-th pose of its own hand, until decoders settle.
        coarse: share of each phase's steps whose hidden layers multiply in bfloat16.
        steps: steps of the right hands, which shape the latent.
        left_steps: steps of left hands that are no mirror images; 0 leaves them the right hand's
            weights, like the paper.
        left_rate: their learning rate; they start as copies, so a gentle one.
        settle_steps: steps of all decoders once all encoders are frozen ...
        settle_rate: ... at this learning rate ...
        settle_smooth, settle_distance: ... with these weights in place of `smooth` and `distance`.
        patience: the coarse or the exact part of a phase ends early, with its best weights, once
            the objective on poses held out has not fallen for this many steps; 0 never.
        reconstruction, distance, direction, kl: weights of the losses (paper, section 3); distance
            per m^2.
        robust: error [rad] beyond which a direction costs in proportion to its angle instead of its
            square, and so a distance; 0: squares.
        strict: how many times further a tight pinch's distance keeps to the square: fingers that
            cannot meet come as near as they can.
        reach: the pinch weight is exp(-reach |d|) ...
        tight, tight_reach: ... plus tight * exp(-tight_reach |d|), [1/m] ...
        focus: ... shared out among the fingers of a pose by nearness, within this [m]; 0 gives it
            to each in full.
        aim: how much more the direction of a tight pinch counts than its length does, compared with
            a wide one.
        twin: weight per m^2 on fingertip positions between the two sides of a hand that are not
            exact mirrors.
        smooth: weight per m of the third difference of other hands' fingertips while a hand moves
            straight from pose to pose ...
        paths: ... of this many lines per hand and step, half of them straight lines between latents
            instead.
        touch: weight per m^2 on the gap between the surfaces of thumb and finger, against the
            source's ...
        touch_slack: ... as far as it differs by more than this [m] ...
        facing: ... and on the square of how their pads' facing differs (cosines) ...
        touch_reach: ... of poses that are near touching, as exp(-touch_reach |gap|), [1/m].
        consistent: weight on how far from a latent of another hand the pose decoded from it is
            encoded, squared, over the spread of such latents in each direction.
        clear: weight per m on how deep a hand reaches into itself that decodes a pose of a hand
            that does not ...
        looks: ... in about this many poses of every other hand per step.
        one_cycle: warm the learning rate up and anneal it to nothing; False keeps it constant.
        orthogonal: hidden matrices step along orthogonalised momentum; False leaves all to AdamW.
        mixture: shares of uniform, near-pinch, half-open and extreme poses in a batch, and where
            there are six, of touching ones and of ones that close with the thumb out.
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
    batch: int = 256
    stride: int = 2
    own: int = 1
    coarse: float = 0.8
    steps: int = 15000
    left_steps: int = 3000
    settle_steps: int = 1000
    rate: float = 4e-3
    left_rate: float = 2e-3
    settle_rate: float = 1e-3
    patience: int = 2000
    one_cycle: bool = True
    orthogonal: bool = True
    reconstruction: float = 500.0
    distance: float = 6300.0
    direction: float = 13.0
    kl: float = 2e-4
    robust: float = 0.1
    strict: float = 3.2
    reach: float = 5.0
    tight: float = 36.0
    tight_reach: float = 60.0
    focus: float = 0.005
    aim: float = 1.5
    twin: float = 1000.0
    smooth: float = 110.0
    paths: int = 24
    settle_smooth: float = 42.0
    settle_distance: float = 6450.0
    touch: float = 0.0
    touch_slack: float = 0.002
    facing: float = 0.0
    touch_reach: float = 150.0
    consistent: float = 0.0
    clear: float = 40.0
    looks: int = 20
    mixture: tuple[float, ...] = (0.55, 0.4, 0.05, 0.0)
    pool: int = 1048576
    templates: int = 2048

    @property
    def settled(self) -> Recipe:
        """With the weights of the steps in which decoders settle."""
        return replace(self, smooth=self.settle_smooth, distance=self.settle_distance)


TIPS = Recipe("tips")
"""The lines between fingertips alone, as in the paper."""

QUICK = replace(
    TIPS,
    name="quick",
    steps=10500,
    left_steps=2000,
    settle_steps=800,
    coarse=0.87,
    distance=6500.0,
    settle_distance=6800.0,
)
"""The same in less than two thirds of the time, for a little of the precision."""

CONTACT = replace(
    TIPS,
    name="contact",
    steps=20000,
    settle_steps=1500,
    touch=75000.0,
    facing=0.6,
    consistent=5.0,
    mixture=(0.45, 0.3, 0.05, 0.0, 0.15, 0.05),
)
"""What the shipped weights are trained with: pads that touch where the source's do besides, and
latents that every hand agrees on.
"""

APART = replace(
    TIPS,
    name="apart",
    distance=0.0,
    direction=0.0,
    smooth=0.0,
    paths=0,
    settle_smooth=0.0,
    settle_distance=0.0,
    clear=0.0,
)
"""A baseline: every hand learns its own poses, and nothing makes their latents mean the same."""

ADDED = replace(
    TIPS,
    name="newcomer",
    batch=1024,
    stride=8,
    own=4,
    coarse=0.9,
    steps=2000,
    left_steps=500,
    settle_steps=200,
    rate=1e-2,
    left_rate=5e-3,
    settle_rate=5e-3,
    patience=0,
    pool=262144,
    consistent=5.0,
)
"""Ours for one hand that is added to a codec: few steps of large batches."""

PAPER = Recipe(
    "paper",
    encoder=(64, 128, 64),
    decoder=(64, 128, 64),
    activation="relu",
    normalised=True,
    batch=1024,
    coarse=0.0,
    stride=1,
    rate=2e-3,
    distance=2000.0,
    direction=5.0,
    kl=1e-5,
    robust=0.0,
    strict=1.0,
    patience=0,
    reach=12.0,
    focus=0.0,
    aim=1.0,
    pool=131072,
    steps=1000,
    left_steps=0,
    settle_steps=0,
    one_cycle=False,
    orthogonal=False,
    reconstruction=1.0,
    tight=0.0,
    twin=0.0,
    smooth=0.0,
    paths=0,
    clear=0.0,
    mixture=(0.5, 0.5, 0.0, 0.0),
)

PRESETS = {recipe.name: recipe for recipe in (CONTACT, TIPS, QUICK, PAPER, APART)}


def preset(name: str) -> Recipe:
    if name not in PRESETS:
        raise unknown("codec preset", name, PRESETS)
    return PRESETS[name]
