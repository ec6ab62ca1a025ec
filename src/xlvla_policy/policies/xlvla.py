"""The policy of the paper: predicts in the latent that all hands share; a hand only selects encoder
and decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.policy import Chunk, Observation
from xlvla.rig import Rig
from xlvla.types import PARTS, Part, Side
from xlvla_policy import sent_latents
from xlvla_policy.overlap import SECOND, Overlap, overlap
from xlvla_policy.vla import chunking, engine_choice, images, tokenizer
from xlvla_policy.vla.checkpoint import ModelCard
from xlvla_policy.vla.engine import Engine
from xlvla_policy.vla.engine_choice import Choice
from xlvla_policy.vla.frames import of_rig
from xlvla_policy.vla.model import Inputs
from xlvla_policy.vla.rig_fit import SHIPPED, refuse_rig
from xlvla_policy.vla.tokenizer import Tokenizer

Limits = dict[Part, tuple[np.ndarray, np.ndarray]]
"""Lowest and highest position [J] rad by part."""


def load(
    rig: Rig,
    *,
    codec: Codec | None = None,
    threads: int = 1,
    seed: int = 0,
    weights: Path = SHIPPED,
) -> XlvlaPolicy:
    """The policy for a rig, warmed up: weights of `rig.policy.checkpoint`, or the shipped ones.

    Args:
        codec: None loads the shipped one.
        threads: processor threads torch may use, in this whole process. One by default: the steps
            are too small to share, and on a busy machine threads that wait for each other made a
            chunk ten times slower.
        seed: of the noise every chunk starts from.
        weights: what is shipped for a rig that names none.

    Raises:
        XlvlaError: no such weights, weights of another codec, or a rig they cannot drive.
    """
    torch.set_num_threads(threads)
    codec = codec or Codec.load()
    path = weights
    if rig.policy and rig.policy.checkpoint:
        path = Path(rig.policy.checkpoint)
    engine, card = engine_choice.load(path, _choice(rig, threads), codec=codec.hash)
    words = tokenizer.of(path, card.config.max_words, card.words)
    policy = XlvlaPolicy(rig, engine, card, codec, words, seed)
    policy.warm_up()
    return policy


class XlvlaPolicy:
    """Chunks for one rig. `predict` is a function of the observation alone: every chunk starts from
    the same noise.
    """

    def __init__(
        self, rig: Rig, engine: Engine, card: ModelCard, codec: Codec, words: Tokenizer, seed: int
    ):
        refuse_rig(rig, card.config, card.committed)
        config = card.config
        self.robot = of_rig(card.config, rig, codec)
        self.rig = rig
        self.engine = engine
        self.normaliser = card.statistics.normaliser(self.robot)
        self.codec = codec
        self.config = config
        self.words = words
        self.longest = card.committed
        self.chunking = rig.policy.chunking if rig.policy else "plain"
        # The same noise every time keeps successive chunks on the same of several possible
        # trajectories.
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(1, config.frames, config.frame_dim, generator=generator)
        self.noise = noise.to(engine.device)
        self.cameras = tuple(camera for camera in config.cameras if camera in rig.cameras)
        self.limits: dict[Side, Limits] = {}
        for side in config.sides:
            self.limits[side] = {part: rig.limits(side, part) for part in PARTS}
        self._sentences: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def frames(self) -> int:
        """Frames of a chunk, and of the executed commands in an observation."""
        return self.config.frames

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        return self.config.rate_hz

    def predict(self, observation: Observation) -> Chunk:
        """The next chunk.

        Raises:
            XlvlaError: an image is missing or of another kind, joints are missing, of another shape
                or not finite, or the sentence is too long.
        """
        inputs = self._inputs(observation)
        command_in_force = inputs.past[0, -1].numpy()
        before = overlap(observation, command_in_force, self.frames)
        decided = self._decide(inputs, before)[0].cpu().numpy()
        normalised = decided
        if before and self.chunking == "ensemble":
            normalised = chunking.mean(decided, before)
        frames = self.normaliser.undo(normalised)
        if not np.isfinite(frames).all():
            raise XlvlaError(
                "the policy decided on numbers that are not finite: its weights are broken"
            )
        return Chunk(
            stamp_ns=observation.stamp_ns,
            rate_hz=self.rate_hz,
            positions=self.positions(frames),
            latents=self.robot.latents(frames),
            decided=decided,
        )

    def _decide(self, inputs: Inputs, before: Overlap | None) -> torch.Tensor:
        """The next chunk [1, T, D] in normalised numbers."""
        if before and self.chunking == "prefix":
            return chunking.prefix(self.engine, inputs, self.noise, before, self.longest)
        if before and self.chunking == "guided":
            return chunking.guided(self.engine, inputs, self.noise, before)
        return self.engine.sample(inputs, self.noise)

    def warm_up(self) -> None:
        """Predicts two chunks, the second with the first as previous, so that the first real one is
        as quick as the rest.
        """
        instruction = self.rig.policy.instruction if self.rig.policy else "Wait."
        black: dict[str, np.ndarray] = {}
        for camera in self.cameras:
            width, height = self.rig.cameras[camera].publish
            black[camera] = np.zeros((height, width, 3), np.uint8)
        observation = Observation(0, black, instruction, self._mid_range())
        chunk = self.predict(observation)

        # As if the robot had followed it for half a second.
        followed = min(round(self.rate_hz / 2), self.frames)
        index = np.maximum(np.arange(-self.frames, 0) + followed, 0)
        executed: dict[Side, dict[Part, np.ndarray]] = {}
        for side, parts in chunk.positions.items():
            executed[side] = {part: positions[index] for part, positions in parts.items()}
        following = replace(
            observation, stamp_ns=SECOND // 2, executed=executed, previous=[chunk], delay_s=0.2
        )
        self.predict(following)

    def _mid_range(self) -> dict[Side, dict[Part, np.ndarray]]:
        """Positions [T, J] of a robot that stands in the middle of all its joints' ranges."""
        positions: dict[Side, dict[Part, np.ndarray]] = {}
        for side, limits in self.limits.items():
            positions[side] = {}
            for part, (lower, upper) in limits.items():
                positions[side][part] = np.tile((lower + upper) / 2, (self.frames, 1))
        return positions

    def _inputs(self, observation: Observation) -> Inputs:
        config = self.config
        executed: dict[Side, dict[Part, np.ndarray]] = {}
        for side in config.sides:
            executed[side] = {part: self._executed(observation, side, part) for part in PARTS}
        past = self.normaliser.apply(self._past(observation, executed))
        pictures = np.stack([self._image(observation, camera) for camera in config.cameras])
        has_camera = [camera in self.cameras for camera in config.cameras]
        words, mask = self._sentence(observation.instruction)
        return Inputs(
            images=torch.from_numpy(pictures[None]),
            cameras=torch.tensor([has_camera]),
            words=words,
            word_mask=mask,
            past=torch.from_numpy(past[None]),
        )

    def _past(
        self, observation: Observation, executed: Mapping[Side, Mapping[Part, np.ndarray]]
    ) -> np.ndarray:
        """Raw frames [T, D] of what was executed; hands in the latents that were sent."""
        frames = self.robot.encode(executed)
        for block in self.robot.blocks:
            if block.kind == "latent":
                encode = self.robot.coders[block.side].encode
                encoded = frames[:, block.columns]
                frames[:, block.columns] = sent_latents.sent(
                    observation, block.side, self.rate_hz, encoded, encode
                )
        return frames

    def _image(self, observation: Observation, camera: str) -> np.ndarray:
        """The image of a camera at the model's size; black for one the rig does not have."""
        vision = self.config.vision
        if camera not in self.cameras:
            return np.zeros((vision.height, vision.width, 3), np.uint8)
        if camera not in observation.images:
            available = ", ".join(observation.images) or "none"
            raise XlvlaError(f"no image of camera '{camera}': the observation has {available}")
        return images.fit(observation.images[camera], vision, camera)

    def _sentence(self, sentence: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and mask [1, L] of a sentence, without padding; the last one is kept."""
        if sentence not in self._sentences:
            ids, mask = self.words.encode(sentence)
            tokens = torch.from_numpy(ids[mask])[None]
            valid = torch.from_numpy(mask[mask])[None]
            self._sentences = {sentence: (tokens, valid)}
        return self._sentences[sentence]

    def _executed(self, observation: Observation, side: Side, part: Part) -> np.ndarray:
        """Executed joints [T, J] rad of a part, checked."""
        names = self.rig.joint_names(side, part)
        values = observation.executed.get(side, {}).get(part)
        if values is None:
            raise XlvlaError(f"no executed joints of the {side} {part} in the observation")
        values = np.asarray(values)
        shape = (self.frames, len(names))
        if values.shape != shape:
            raise XlvlaError(
                f"executed joints of the {side} {part} must be {list(shape)}, are "
                f"{list(values.shape)}"
            )
        is_finite = np.isfinite(values).all(axis=0)
        if not is_finite.all():
            wrong = [names[column] for column in np.flatnonzero(~is_finite)]
            raise XlvlaError(
                f"executed joints of the {side} {part} are not finite: {', '.join(wrong)}"
            )
        return values

    def positions(self, frames: np.ndarray) -> dict[Side, Mapping[Part, np.ndarray]]:
        """Joint positions of raw frames [T, D], clipped to the joints' limits."""
        clipped: dict[Side, Mapping[Part, np.ndarray]] = {}
        for side, parts in self.robot.decode(frames).items():
            within: dict[Part, np.ndarray] = {}
            for part, values in parts.items():
                lower, upper = self.limits[side][part]
                within[part] = np.clip(values, lower, upper)
            clipped[side] = within
        return clipped


def _choice(rig: Rig, threads: int) -> Choice:
    if rig.policy is None:
        return Choice(threads=threads)
    return Choice(
        engine=rig.policy.engine,
        device=rig.policy.device,
        precision=rig.policy.precision,
        gradient=rig.policy.chunking == "guided",
        threads=threads,
    )
