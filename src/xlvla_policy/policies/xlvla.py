"""The policy of the paper: decides in the latent that all hands share; the hand only selects
encoder and decoder.
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
from xlvla_policy.overlap import SECOND, Overlap, overlap
from xlvla_policy.vla import chunking, engine_choice, images, tokenizer
from xlvla_policy.vla.checkpoint import ModelCard
from xlvla_policy.vla.engine import Engine
from xlvla_policy.vla.engine_choice import Choice
from xlvla_policy.vla.frames import of_rig
from xlvla_policy.vla.model import Inputs
from xlvla_policy.vla.tokenizer import Tokenizer

SHIPPED = Path(__file__).parents[1] / "weights" / "push_cans.safetensors"


def load(rig: Rig, *, codec: Codec | None = None, threads: int = 1, seed: int = 0) -> XlvlaPolicy:
    """The policy for a rig, warmed up: weights of `rig.policy.checkpoint`, or the shipped ones.

    Args:
        codec: None loads the shipped one.
        threads: processor threads torch may use, in this whole process. One: the steps are too
            small to share, and on a busy machine threads that wait for each other made a chunk ten
            times slower.
        seed: of the noise every chunk starts from.

    Raises:
        XlvlaError: no such weights, weights of another codec, or a rig they cannot drive.
    """
    torch.set_num_threads(threads)
    codec = codec or Codec.load()
    path = Path(rig.policy.checkpoint) if rig.policy and rig.policy.checkpoint else SHIPPED
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
        _suits(rig, card)
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
        # The same noise every time keeps successive chunks on the same choice where there is more
        # than one way.
        noise = torch.randn(
            1, config.frames, config.frame_dim, generator=torch.Generator().manual_seed(seed)
        )
        self.noise = noise.to(engine.device)
        self.cameras = tuple(camera for camera in config.cameras if camera in rig.cameras)
        self.limits = {side: _limits(rig, side) for side in config.sides}
        self._sentences: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def frames(self) -> int:
        return self.config.frames

    @property
    def rate_hz(self) -> float:
        return self.config.rate_hz

    def predict(self, observation: Observation) -> Chunk:
        """The next chunk.

        Raises:
            XlvlaError: an image is missing or of another kind, joints are missing, of another shape
                or not finite, or the sentence is too long.
        """
        inputs = self._inputs(observation)
        before = overlap(observation, inputs.past[0, -1].numpy(), self.config.frames)
        decided = self._decide(inputs, before)[0].cpu().numpy()
        joined = (
            chunking.mean(decided, before) if before and self.chunking == "ensemble" else decided
        )
        frames = self.normaliser.undo(joined)
        if not np.isfinite(frames).all():
            raise XlvlaError(
                "the policy decided on numbers that are not finite: its weights are broken"
            )
        return Chunk(
            observation.stamp_ns,
            self.rate_hz,
            self._positions(frames),
            self.robot.latents(frames),
            decided,
        )

    def _decide(self, inputs: Inputs, before: Overlap | None) -> torch.Tensor:
        """The next chunk [1, T, D] in normalised numbers."""
        if before and self.chunking == "prefix":
            return chunking.prefix(self.engine, inputs, self.noise, before, self.longest)
        if before and self.chunking == "guided":
            return chunking.guided(self.engine, inputs, self.noise, before)
        return self.engine.sample(inputs, self.noise)

    def warm_up(self) -> None:
        """Chunks for nothing, the second after the first, so that the first real one is as quick as
        the rest.
        """
        still: dict[Side, dict[Part, np.ndarray]] = {
            side: {
                part: np.tile((lower + upper) / 2, (self.config.frames, 1))
                for part, (lower, upper) in self.limits[side].items()
            }
            for side in self.config.sides
        }
        sizes = {camera: self.rig.cameras[camera].publish for camera in self.cameras}
        black = {
            camera: np.zeros((height, width, 3), np.uint8)
            for camera, (width, height) in sizes.items()
        }
        observation = Observation(
            0, black, self.rig.policy.instruction if self.rig.policy else "Wait.", still
        )
        chunk = self.predict(observation)
        half_a_second = min(round(self.rate_hz / 2), self.frames)
        followed = np.maximum(np.arange(-self.frames, 0) + half_a_second, 0)
        executed = {
            side: {part: rows[followed] for part, rows in parts.items()}
            for side, parts in chunk.positions.items()
        }
        self.predict(
            replace(
                observation, stamp_ns=SECOND // 2, executed=executed, previous=[chunk], delay_s=0.2
            )
        )

    def _inputs(self, observation: Observation) -> Inputs:
        config = self.config
        past = self.robot.encode(
            {
                side: {part: self._executed(observation, side, part) for part in PARTS}
                for side in config.sides
            }
        )
        seen = [camera in self.cameras for camera in config.cameras]
        words, mask = self._sentence(observation.instruction)
        return Inputs(
            images=torch.from_numpy(
                np.stack([self._image(observation, camera) for camera in config.cameras])[None]
            ),
            cameras=torch.tensor([seen]),
            words=words,
            word_mask=mask,
            past=torch.from_numpy(self.normaliser.apply(past)[None]),
        )

    def _image(self, observation: Observation, camera: str) -> np.ndarray:
        vision = self.config.vision
        if camera not in self.cameras:
            return np.zeros((vision.height, vision.width, 3), np.uint8)
        if camera not in observation.images:
            raise XlvlaError(
                f"no image of camera '{camera}': the observation has "
                f"{', '.join(observation.images) or 'none'}"
            )
        return images.fit(observation.images[camera], vision, camera)

    def _sentence(self, sentence: str) -> tuple[torch.Tensor, torch.Tensor]:
        if sentence not in self._sentences:
            ids, mask = self.words.encode(sentence)
            self._sentences = {
                sentence: (torch.from_numpy(ids[mask])[None], torch.from_numpy(mask[mask])[None])
            }
        return self._sentences[sentence]

    def _executed(self, observation: Observation, side: Side, part: Part) -> np.ndarray:
        names = self.rig.joint_names(side, part)
        values = observation.executed.get(side, {}).get(part)
        if values is None:
            raise XlvlaError(f"no executed joints of the {side} {part} in the observation")
        values = np.asarray(values)
        if values.shape != (self.config.frames, len(names)):
            shape = f"[{self.config.frames}, {len(names)}]"
            raise XlvlaError(
                f"executed joints of the {side} {part} must be {shape}, are {list(values.shape)}"
            )
        if not np.isfinite(values).all():
            wrong = [names[column] for column in np.flatnonzero(~np.isfinite(values).all(axis=0))]
            raise XlvlaError(
                f"executed joints of the {side} {part} are not finite: {', '.join(wrong)}"
            )
        return values

    def _positions(self, frames: np.ndarray) -> dict[Side, Mapping[Part, np.ndarray]]:
        """Joint positions a robot may be sent, of raw frames [T, D]."""
        return {
            side: {
                part: np.clip(values, *self.limits[side][part]) for part, values in parts.items()
            }
            for side, parts in self.robot.decode(frames).items()
        }


def _choice(rig: Rig, threads: int) -> Choice:
    if rig.policy is None:
        return Choice(threads=threads)
    return Choice(
        rig.policy.engine,
        rig.policy.device,
        rig.policy.precision,
        rig.policy.chunking == "guided",
        threads,
    )


def _limits(rig: Rig, side: Side) -> dict[Part, tuple[np.ndarray, np.ndarray]]:
    arm = rig.arm(side).limits
    return {"arm": (arm.lower, arm.upper), "hand": rig.hand(side).command_range(side)}


def _suits(rig: Rig, card: ModelCard) -> None:
    """Refuses a rig that these weights cannot drive."""
    config = card.config
    if not set(config.cameras) & set(rig.cameras):
        known = ", ".join(rig.cameras) or "none"
        raise XlvlaError(
            f"this policy looks through {', '.join(config.cameras)}; the cameras of rig "
            f"'{rig.name}' are {known}"
        )
    if rig.policy and rig.policy.chunking == "prefix" and not card.committed:
        raise XlvlaError(
            "policy.chunking: these weights were not trained with action prefixes "
            "('prefix'): train with"
            " `xlvla train policy --committed 0.5`, "
            "or choose guided, ensemble or plain"
        )
