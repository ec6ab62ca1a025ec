"""The policy network: images, a sentence and the previously executed chunk in, the next latent
chunk out.

The sequence has three blocks, each bidirectional within itself:

    prefix   image tokens of every camera, tokens of the sentence    language expert
    past     the previously executed chunk                           action expert
    actions  the noisy chunk, every token with its own flow time     action expert

A frame is [arm joints, hand latent] of every side, normalised. Which hands the robot has is not an
input.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xlvla_policy.vla import flow
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.joint import Cache, JointTransformer, joint_mask
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
        action_numbers = config.frames_per_token * config.frame_dim
        past_numbers = config.past_frames_per_token * config.frame_dim
        self.vision = Vision(config.vision, config.language.dim)
        self.language = TokenEmbedding(config.vocabulary, config.language.dim)
        self.joint = JointTransformer(config)
        self.state_proj = nn.Linear(past_numbers, width)
        self.action_in_proj = nn.Linear(action_numbers, width)
        self.action_time_mlp_in = nn.Linear(2 * width, width)
        self.action_time_mlp_out = nn.Linear(width, width)
        self.action_out_proj = nn.Linear(width, action_numbers)

    def prefix(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Tokens [B, P, D] and their validity [B, P]."""
        images = scaled(inputs.images.flatten(0, 1))
        image_tokens = self.vision(images)
        image_tokens = image_tokens.unflatten(0, inputs.cameras.shape).flatten(1, 2)
        words = self.language(inputs.words)
        tokens = torch.cat([image_tokens.to(words.dtype), words], 1)
        image_valid = inputs.cameras.repeat_interleave(self.config.vision.tokens, 1)
        return tokens, torch.cat([image_valid, inputs.word_mask], 1)

    def past(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Tokens [B, past_tokens, D] of the previously executed chunk; all are valid."""
        state_history = inputs.past[:, -self.config.history_frames :]
        grouped = state_history.unflatten(1, (self.config.past_tokens, -1)).flatten(2)
        tokens = self.state_proj(grouped)
        return tokens, _all_valid(tokens)

    def observe(self, inputs: Inputs) -> Cache:
        """Everything a denoising step attends to; computed once per observation."""
        tokens, valid = self.prefix(inputs)
        cache, _ = self.joint.extend(None, "language", tokens, valid, output=False)
        tokens, valid = self.past(inputs)
        cache, _ = self.joint.extend(cache, "action", tokens, valid, output=False)
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
        """`denoise` in one pass over the whole sequence under one mask; the definition that
        `denoise` with its cache must equal.
        """
        prefix, prefix_valid = self.prefix(inputs)
        past, past_valid = self.past(inputs)
        actions, actions_valid = self._action_tokens(noisy, t)
        valid = torch.cat([prefix_valid, past_valid, actions_valid], 1)
        mask = joint_mask([prefix.shape[1], past.shape[1], actions.shape[1]], valid)
        positions = valid.cumsum(1) - 1
        parts = [("language", prefix), ("action", past), ("action", actions)]
        hidden = self.joint(parts, mask, positions)
        return self.action_out_proj(hidden[-1])

    def clean(self, output: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
        """The clean chunk that the head's output stands for."""
        if self.config.prediction == "data":
            return output
        return noisy - t[..., None] * output

    def loss(self, inputs: Inputs, chunk: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Flow-matching loss of chunks [B, T, frame_dim].

        noise is [B * K, T, frame_dim] and t [B * K]: K draws share an observation, whose tokens are
        computed once. They are the costly part, so K draws nearly divide the variance of the
        gradient by K for little more work.

        With t [B * K, tokens] every token has its own time; a token at 0 is given as it is, and
        not part of the loss.
        """
        draws = len(noise) // len(chunk)
        data = self._tokens(chunk).repeat_interleave(draws, 0)
        noise = self._tokens(noise)
        times = t
        if times.ndim == 1:
            times = times[:, None].expand(-1, self.config.action_tokens)
        noisy = flow.mix(data, noise, times)
        cache = self.observe(inputs).repeated(draws)
        output = self.denoise(cache, noisy, times)
        target = data if self.config.prediction == "data" else noise - data
        error = self._frames(output.float() - target).square()
        predicted = (times > 0).repeat_interleave(self.config.frames_per_token, 1)
        predicted = predicted[..., None].to(error.dtype)
        # Row by row, so that the mean over a batch is the mean over its parts.
        weighted = (error * self._weights(error) * predicted).mean((1, 2))
        return (weighted / predicted.mean((1, 2))).mean()

    @torch.inference_mode()
    def sample(self, inputs: Inputs, noise: Tensor) -> Tensor:
        """Chunks [B, T, frame_dim] from noise of that shape."""
        cache = self.observe(inputs)

        def velocity(noisy: Tensor, time: float) -> Tensor:
            t = torch.full(noisy.shape[:2], time, device=noisy.device)
            output = self.denoise(cache, noisy, t).float()
            if self.config.prediction == "data":
                return (noisy - output) / time
            return output

        tokens = flow.euler(velocity, self._tokens(noise), self.config.steps)
        return self._frames(tokens)

    def _action_tokens(self, noisy: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B, tokens, D] of a noisy chunk at times t [B, tokens]; all are valid."""
        actions = self.action_in_proj(noisy)
        time = flow.time_embedding(t, self.config.action.dim).to(actions.dtype)
        hidden = self.action_time_mlp_in(torch.cat([actions, time], -1))
        tokens = self.action_time_mlp_out(nn.functional.silu(hidden))
        return tokens, _all_valid(tokens)

    def _tokens(self, frames: Tensor) -> Tensor:
        """[B, T, frame_dim] to [B, tokens, frames_per_token * frame_dim]."""
        return frames.unflatten(1, (self.config.action_tokens, -1)).flatten(2)

    def _frames(self, tokens: Tensor) -> Tensor:
        """[B, tokens, frames_per_token * frame_dim] to [B, T, frame_dim]."""
        return tokens.unflatten(-1, (self.config.frames_per_token, -1)).flatten(1, 2)

    def _weights(self, like: Tensor) -> Tensor:
        """Weight of each number of a frame in the loss, with mean 1."""
        latent = torch.from_numpy(self.config.latent_columns).to(like.device)
        weights = torch.where(latent, self.config.latent_weight, 1.0)
        return weights / weights.mean()


def _all_valid(tokens: Tensor) -> Tensor:
    """True [B, T] for tokens [B, T, D]."""
    return torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
