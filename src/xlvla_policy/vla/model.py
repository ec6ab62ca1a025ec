"""The policy network: images, a sentence and the previously executed chunk in, the next latent
chunk out.

    prefix   image tokens of every camera, sentence tokens          language expert, one
    bidirectional block past     the previously executed chunk                          action
    expert, a block of its own actions  the noisy chunk, every token with its own flow time
    action expert, bidirectional

A frame is [arm joints, hand latent] of every side, normalised. Which hands the robot has is not an
input.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xlvla_policy.vla import flow
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.joint import Cache, JointTransformer, Part, joint_mask
from xlvla_policy.vla.language import TokenEmbedding
from xlvla_policy.vla.vision import Vision, scaled


@dataclass(frozen=True)
class Inputs:
    """A batch of observations.

    Args:
        images: uint8 [B, C, H, W, 3], cameras in the order of the configuration.
        cameras: [B, C], False where a camera is missing.
        words: token ids [B, L].
        word_mask: [B, L], False for padding.
        past: previously executed chunk [B, T, frame_dim], normalised.
    """

    images: Tensor
    cameras: Tensor
    words: Tensor
    word_mask: Tensor
    past: Tensor


class Vla(nn.Module):
    """pi0 with latent action tokens; see VlaConfig for its sizes."""

    def __init__(self, config: VlaConfig):
        super().__init__()
        self.config = config
        width = config.action.dim
        self.vision = Vision(config.vision, config.language.dim)
        self.language = TokenEmbedding(config.vocabulary, config.language.dim)
        self.joint = JointTransformer(config)
        self.state_proj = nn.Linear(config.past_frames_per_token * config.frame_dim, width)
        self.action_in_proj = nn.Linear(config.frames_per_token * config.frame_dim, width)
        self.action_time_mlp_in = nn.Linear(2 * width, width)
        self.action_time_mlp_out = nn.Linear(width, width)
        self.action_out_proj = nn.Linear(width, config.frames_per_token * config.frame_dim)

    def prefix(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Tokens [B, P, D] and their validity [B, P]."""
        batch, cameras = inputs.cameras.shape
        tokens = (
            self.vision(scaled(inputs.images.flatten(0, 1)))
            .unflatten(0, (batch, cameras))
            .flatten(1, 2)
        )
        words = self.language(inputs.words)
        seen = inputs.cameras.repeat_interleave(self.config.vision.tokens, 1)
        return torch.cat([tokens.to(words.dtype), words], 1), torch.cat([seen, inputs.word_mask], 1)

    def past(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Tokens [B, past_tokens, D] of the previously executed chunk; all are valid."""
        state_history = inputs.past[:, -self.config.history_frames :]
        tokens = self.state_proj(
            state_history.unflatten(1, (self.config.past_tokens, -1)).flatten(2)
        )
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)

    def observe(self, inputs: Inputs) -> Cache:
        """Everything a denoising step attends to; computed once per observation."""
        cache, _ = self.joint.extend(None, "language", *self.prefix(inputs), output=False)
        cache, _ = self.joint.extend(cache, "action", *self.past(inputs), output=False)
        return cache

    def denoise(self, cache: Cache, noisy: Tensor, t: Tensor) -> Tensor:
        """The head's output [B, tokens, numbers] for noisy tokens at times t [B, tokens]; see
        VlaConfig.prediction.
        """
        tokens, valid = self._action_tokens(noisy, t)
        _, hidden = self.joint.extend(cache, "action", tokens, valid, output=True)
        assert hidden is not None
        return self.action_out_proj(hidden)

    def denoise_uncached(self, inputs: Inputs, noisy: Tensor, t: Tensor) -> Tensor:
        """`denoise` in one pass over the whole sequence under one mask; the definition that the
        cached way must equal.
        """
        pieces = [self.prefix(inputs), self.past(inputs), self._action_tokens(noisy, t)]
        parts: list[Part] = [
            (name, tokens)
            for name, (tokens, _) in zip(("language", "action", "action"), pieces, strict=True)
        ]
        valid = torch.cat([seen for _, seen in pieces], 1)
        mask = joint_mask([tokens.shape[1] for tokens, _ in pieces], valid)
        return self.action_out_proj(self.joint(parts, mask, valid.cumsum(1) - 1)[-1])

    def clean(self, output: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
        """The clean chunk that the head's output stands for."""
        return output if self.config.prediction == "data" else noisy - t[..., None] * output

    def loss(self, inputs: Inputs, chunk: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Flow-matching loss of chunks [B, T, frame_dim].

        noise is [B * K, T, frame_dim] and t [B * K]: K draws share an observation, whose tokens are
        computed once. They are the costly part, so K draws nearly divide the variance of the
        gradient by K for little more work.

        With t [B * K, tokens] every token has its own; one at 0 is told as it is, and not asked
        for.
        """
        draws = len(noise) // len(chunk)
        data = self._tokens(chunk).repeat_interleave(draws, 0)
        noise = self._tokens(noise)
        times = t if t.ndim == 2 else t[:, None].expand(-1, self.config.action_tokens)
        noisy = flow.mix(data, noise, times)
        output = self.denoise(self.observe(inputs).repeated(draws), noisy, times)
        target = data if self.config.prediction == "data" else noise - data
        error = self._frames(output.float() - target).square()
        asked = (
            (times > 0)
            .repeat_interleave(self.config.frames_per_token, 1)[..., None]
            .to(error.dtype)
        )
        # Row by row, so that the mean over a batch is the mean over its parts.
        return ((error * self._weights(error) * asked).mean((1, 2)) / asked.mean((1, 2))).mean()

    @torch.inference_mode()
    def sample(self, inputs: Inputs, noise: Tensor) -> Tensor:
        """Chunks [B, T, frame_dim] from noise of that shape."""
        cache = self.observe(inputs)

        def velocity(noisy: Tensor, time: float) -> Tensor:
            t = torch.full(noisy.shape[:2], time, device=noisy.device)
            output = self.denoise(cache, noisy, t).float()
            return (noisy - output) / time if self.config.prediction == "data" else output

        return self._frames(flow.euler(velocity, self._tokens(noise), self.config.steps))

    def _action_tokens(self, noisy: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        embedded = self.action_in_proj(noisy)
        embedded = torch.cat(
            [embedded, flow.time_embedding(t, self.config.action.dim).to(embedded.dtype)], -1
        )
        tokens = self.action_time_mlp_out(nn.functional.silu(self.action_time_mlp_in(embedded)))
        return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)

    def _tokens(self, frames: Tensor) -> Tensor:
        """[B, T, frame_dim] to [B, tokens, frames_per_token * frame_dim]."""
        return frames.unflatten(1, (self.config.action_tokens, -1)).flatten(2)

    def _frames(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.config.frames_per_token, -1)).flatten(1, 2)

    def _weights(self, like: Tensor) -> Tensor:
        """Weight of each number of a frame in the loss, with mean 1."""
        latent = torch.from_numpy(self.config.latent_columns).to(like.device)
        weights = torch.where(latent, self.config.latent_weight, 1.0)
        return weights / weights.mean()
