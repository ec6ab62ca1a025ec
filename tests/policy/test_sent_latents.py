"""The past in the latents it was decided in."""

from __future__ import annotations

import numpy as np
import pytest

from xlvla.policy import Chunk, Observation
from xlvla.types import SECOND
from xlvla_policy import sent_latents

RATE_HZ = 20.0
FRAMES = 64
NOW_NS = 100 * SECOND


@pytest.fixture(scope="module")
def latents(codec) -> np.ndarray:
    """Latents [T, 32] that an XHand makes while it closes: an Inspire cannot say all of them."""
    joints = np.array(
        [
            codec.decode("xhand", "right", latent[None])[0]
            for latent in np.random.default_rng(1).normal(size=(2, codec.latent_dim))
        ]
    )
    share = np.linspace(0, 1, FRAMES)[:, None]
    return codec.encode("xhand", "right", (1 - share) * joints[0] + share * joints[1])


def chunk(codec, latents: np.ndarray, age_s: float) -> Chunk:
    hand = codec.decode("inspire", "right", latents)
    stamp_ns = NOW_NS - round(age_s * SECOND)
    return Chunk(stamp_ns, RATE_HZ, {"right": {"hand": hand}}, {"right": latents})


def sent(codec, commands: np.ndarray, *chunks: Chunk) -> np.ndarray:
    observation = Observation(NOW_NS, {}, "", {"right": {"hand": commands}}, chunks)

    def encode(q: np.ndarray) -> np.ndarray:
        return codec.encode("inspire", "right", q)

    return sent_latents.sent(observation, "right", RATE_HZ, encode(commands), encode)


def off(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.sqrt(np.square(found - wanted).mean()))


@pytest.mark.parametrize("late_s", [0.0, 0.13, 0.6])
def test_commands_of_a_chunk_are_told_by_its_latents_however_late_they_are_played(
    codec, latents, late_s
):
    whole = chunk(codec, latents, age_s=FRAMES / RATE_HZ)
    frame = np.clip(np.arange(FRAMES) - late_s * RATE_HZ, 0, None)
    every = np.arange(FRAMES)
    commands = np.stack(
        [np.interp(frame, every, column) for column in whole.positions["right"]["hand"].T], 1
    )
    wanted = np.stack([np.interp(frame, every, column) for column in latents.T], 1)
    encoded = codec.encode("inspire", "right", commands)
    found = sent(codec, commands, whole)
    assert off(encoded, wanted) > 0.1
    assert off(found, wanted) < 0.1 * off(encoded, wanted)


def test_what_others_commanded_is_told_by_the_encoder(codec, latents):
    whole = chunk(codec, latents, age_s=FRAMES / RATE_HZ)
    strange = whole.positions["right"]["hand"] + 0.6
    encoded = codec.encode("inspire", "right", strange)
    assert off(sent(codec, strange, whole), encoded) < 1e-3
    assert (sent(codec, strange) == encoded).all()


def test_a_chunk_that_was_over_long_before_tells_nothing(codec, latents):
    old = chunk(codec, latents, age_s=30.0)
    commands = old.positions["right"]["hand"]
    encoded = codec.encode("inspire", "right", commands)
    assert (sent(codec, commands, old) == encoded).all()


def test_while_one_chunk_follows_another_the_latents_go_from_one_to_the_other(codec, latents):
    first = chunk(codec, np.repeat(latents[:1], FRAMES, 0), age_s=FRAMES / RATE_HZ)
    second = chunk(codec, np.repeat(latents[12:13], FRAMES, 0), age_s=FRAMES / RATE_HZ)
    share = np.linspace(0, 1, FRAMES)[:, None]
    hand = "hand"
    commands = (1 - share) * first.positions["right"][hand] + share * second.positions["right"][
        hand
    ]
    found = sent(codec, commands, first, second)
    assert off(found[0], latents[0]) < 0.02
    assert off(found[-1], latents[12]) < 0.02
    steps = np.abs(np.diff(found, axis=0)).max()
    assert steps < np.abs(latents[12] - latents[0]).max()
