"""Sizes of the model; the architecture is one, a preset only chooses numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

import numpy as np

from xlvla.errors import XlvlaError, unknown
from xlvla.ranges import Range
from xlvla.strict import build
from xlvla.types import CHUNK_FRAMES, CHUNK_HZ, SIDES, Side

Share = Annotated[float, Range(0, 1)]


@dataclass(frozen=True)
class VisionConfig:
    """SigLIP-style image tower.

    Args:
        crop: part of the camera's image that is looked at, as shares of it: top, left, height,
            width.
        pad: whether an image of other proportions is filled up with black; where not, it is
            refused.
        patch: side of the square a token covers [px], of the stem's output where there is a stem.
        stem: channels of 3x3 convolutions of stride 2 before the patches. Empty at full size; at
            toy size a few convolutions learn to localise from far fewer samples than a bare patch
            embedding.
        points: coordinates read off heat maps of the stem's output, for the same reason;
            `point_tokens` carry them.
    """

    height: Annotated[int, Range(8, 4096)] = 224
    width: Annotated[int, Range(8, 4096)] = 224
    crop: tuple[Share, Share, Share, Share] = (0.0, 0.0, 1.0, 1.0)
    pad: bool = False
    patch: Annotated[int, Range(1, 512)] = 14
    stem: tuple[Annotated[int, Range(1, 4096)], ...] = ()
    dim: Annotated[int, Range(1, 65536)] = 1152
    layers: Annotated[int, Range(1, 1000)] = 27
    heads: Annotated[int, Range(1, 1024)] = 16
    mlp: Annotated[int, Range(1, 1000000)] = 4304
    points: Annotated[int, Range(0, 4096)] = 0
    point_tokens: Annotated[int, Range(0, 1024)] = 0

    @property
    def aspect(self) -> float:
        """Width over height of the camera's whole image."""
        _, _, height, width = self.crop
        return (self.width / width) / (self.height / height)

    @property
    def stride(self) -> int:
        """From one token to the next [px]; every convolution of the stem halves the image."""
        return self.patch * 2 ** len(self.stem)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        return self.height // self.stride, self.width // self.stride

    @property
    def patches(self) -> int:
        rows, columns = self.grid
        return rows * columns

    @property
    def tokens(self) -> int:
        """Tokens of one image."""
        return self.patches + self.point_tokens


@dataclass(frozen=True)
class ExpertConfig:
    """Widths of one expert; what both must share for joint attention is in VlaConfig."""

    dim: Annotated[int, Range(1, 65536)]
    mlp: Annotated[int, Range(1, 1000000)]


@dataclass(frozen=True)
class VlaConfig:
    """Everything that decides the shape of the weights, and how the model is sampled.

    Args:
        cameras: names of the cameras in the order of their tokens; a missing one is masked.
        space: what a frame's numbers are: arm joints and hand latents of every side, or, for
            comparison, joints as they are, padded to `raw_dim` numbers as pi0 does, or the joints
            of one hand, to which others are retargeted.
        source_hand: that hand, in the space 'retargeted'.
        frames: frames of a chunk, and of the executed commands that are observed.
        rate_hz: how many of them a second has.
        frames_per_token: frames of the chunk that share one action token.
        past_frames: how many of the frames executed last the policy observes; None as many as a
            chunk has. pi0 observes one, its state.
        past_frames_per_token: the same as `frames_per_token` for these.
        prediction: what the head's output means. pi0's is the velocity. A toy expert is narrower
            than the noise it would have to carry through (frames_per_token * frame numbers), so it
            predicts the clean chunk, which is smooth and low-dimensional, and the velocity follows
            from it.
        latent_weight: weight of a latent number in the loss relative to an arm joint.
    """

    vision: VisionConfig = field(default_factory=VisionConfig)
    language: ExpertConfig = ExpertConfig(2048, 16384)
    action: ExpertConfig = ExpertConfig(1024, 4096)
    layers: Annotated[int, Range(1, 1000)] = 18
    heads: Annotated[int, Range(1, 1024)] = 8
    kv_heads: Annotated[int, Range(1, 1024)] = 1
    head_dim: Annotated[int, Range(1, 4096)] = 256
    vocabulary: Annotated[int, Range(1, 10000000)] = 257152
    max_words: Annotated[int, Range(1, 10000)] = 48
    cameras: tuple[str, ...] = ("front",)
    sides: tuple[Side, ...] = SIDES
    arm_joints: Annotated[int, Range(1, 64)] = 7
    latent_dim: Annotated[int, Range(1, 4096)] = 32
    space: Literal["latent", "raw", "retargeted"] = "latent"
    raw_dim: Annotated[int, Range(1, 4096)] = 32
    source_hand: str = ""
    frames: Annotated[int, Range(2, 10000)] = CHUNK_FRAMES
    rate_hz: Annotated[float, Range(0.1, 1000)] = CHUNK_HZ
    frames_per_token: Annotated[int, Range(1, 10000)] = 1
    past_frames: Annotated[int, Range(1, 10_000)] | None = None
    past_frames_per_token: Annotated[int, Range(1, 10000)] = 1
    prediction: Literal["velocity", "data"] = "velocity"
    latent_weight: Annotated[float, Range(0, 1000)] = 1.0
    steps: Annotated[int, Range(1, 1000)] = 10

    def __post_init__(self) -> None:
        positive_rate = 0 < self.rate_hz < math.inf
        if self.frames < 2 or not positive_rate:
            raise XlvlaError(
                "a chunk has two frames or more at a positive rate, "
                f"not {self.frames} at {self.rate_hz} Hz"
            )
        vision = self.vision
        if vision.height % vision.stride or vision.width % vision.stride:
            raise XlvlaError(
                f"an image of {vision.width}x{vision.height} does not divide into tokens of "
                f"{vision.stride} px"
            )
        _refuse_unless_divisible(self.frames, self.frames_per_token)
        _refuse_unless_divisible(self.history_frames, self.past_frames_per_token)

    @property
    def side_dim(self) -> int:
        """Numbers of one side in a frame: arm joints, then the hand's latent."""
        return self.arm_joints + self.latent_dim

    @property
    def frame_dim(self) -> int:
        """Numbers of a frame of all sides."""
        if self.space != "latent":
            return self.raw_dim
        return self.side_dim * len(self.sides)

    @property
    def history_frames(self) -> int:
        """How many of the frames executed last the policy observes."""
        return self.frames if self.past_frames is None else self.past_frames

    @property
    def latent_columns(self) -> np.ndarray:
        """Which numbers of a frame [frame_dim] are latents."""
        if self.space != "latent":
            return np.zeros(self.raw_dim, dtype=bool)
        of_a_side = np.arange(self.side_dim) >= self.arm_joints
        return np.tile(of_a_side, len(self.sides))

    @property
    def action_tokens(self) -> int:
        return self.frames // self.frames_per_token

    @property
    def past_tokens(self) -> int:
        return self.history_frames // self.past_frames_per_token

    def document(self) -> dict[str, Any]:
        return asdict(self)


def _refuse_unless_divisible(frames: int, per_token: int) -> None:
    if frames % per_token:
        raise XlvlaError(f"{frames} frames do not divide into tokens of {per_token}")


def from_document(document: Mapping[str, Any]) -> VlaConfig:
    """The configuration that `document()` wrote (through JSON); ValueError where it did not."""
    config, faults = build(VlaConfig, document, "config")
    if config is None or faults:
        raise ValueError("; ".join(faults))
    return config


PRESETS: Mapping[str, VlaConfig] = {
    # The paper's policy: pi0 with chunks of latents. Its projections of frames are new, all else
    # can start from pi0.
    "pi0": VlaConfig(vision=VisionConfig(pad=True), past_frames_per_token=8),
    # pi0 as published: one state and 50 actions of 32 numbers.
    "pi0_base": VlaConfig(
        vision=VisionConfig(pad=True),
        space="raw",
        cameras=("base", "left_wrist", "right_wrist"),
        frames=50,
        past_frames=1,
    ),
    "tiny": VlaConfig(
        vision=VisionConfig(
            height=48,
            width=64,
            patch=4,
            stem=(8, 16),
            dim=32,
            layers=1,
            heads=2,
            mlp=64,
            points=8,
            point_tokens=2,
        ),
        language=ExpertConfig(32, 64),
        action=ExpertConfig(32, 64),
        layers=2,
        heads=2,
        head_dim=16,
        vocabulary=512,
        max_words=64,
        frames_per_token=8,
        past_frames_per_token=16,
        prediction="data",
    ),
    "small": VlaConfig(
        # The cans and the hands at work lie in the middle of the picture: sharper there is better
        # than all of it.
        vision=VisionConfig(
            height=96,
            width=160,
            crop=(0.225, 0.125, 0.6, 0.75),
            patch=8,
            stem=(24, 48),
            dim=128,
            layers=2,
            heads=4,
            mlp=384,
            points=32,
            point_tokens=4,
        ),
        language=ExpertConfig(128, 384),
        action=ExpertConfig(128, 384),
        layers=4,
        heads=4,
        head_dim=32,
        vocabulary=512,
        max_words=64,
        frames_per_token=4,
        past_frames_per_token=8,
        prediction="data",
        latent_weight=0.3,
    ),
}


def preset(name: str) -> VlaConfig:
    """The preset of this name; raises XlvlaError for an unknown one."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name]
