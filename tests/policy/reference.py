"""An independent pi0: the SigLIP and Gemma modules of `transformers`, wired as openpi wires them,
under the published names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from xlvla_policy.vla.config import VlaConfig

# Where it is needed: importing `transformers` takes seconds, and all workers import all tests.
if TYPE_CHECKING:
    from transformers import GemmaModel, SiglipVisionModel

P = "paligemma_with_expert."
NEVER = -2.3819763e38


def _gemma(dim: int, mlp: int, config: VlaConfig) -> GemmaModel:
    from transformers import GemmaConfig, GemmaModel

    return GemmaModel(
        GemmaConfig(
            vocab_size=config.vocabulary,
            hidden_size=dim,
            intermediate_size=mlp,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            head_dim=config.head_dim,
            hidden_activation="gelu_pytorch_tanh",
            attn_implementation="eager",
        )
    )


def _siglip(config: VlaConfig) -> SiglipVisionModel:
    from transformers import SiglipVisionConfig, SiglipVisionModel

    vision = config.vision
    return SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=vision.dim,
            intermediate_size=vision.mlp,
            num_hidden_layers=vision.layers,
            num_attention_heads=vision.heads,
            image_size=vision.height,
            patch_size=vision.patch,
            hidden_act="gelu_pytorch_tanh",
            layer_norm_eps=1e-6,
            vision_use_head=False,
            attn_implementation="eager",
        )
    )


@dataclass
class Reference:
    """Modules of one pi0 with random weights of ordinary size."""

    config: VlaConfig

    def __post_init__(self) -> None:
        config = self.config
        width = self.config.action.dim
        torch.manual_seed(7)
        self.vision = _siglip(config)
        self.projector = nn.Linear(config.vision.dim, config.language.dim)
        self.language = _gemma(config.language.dim, config.language.mlp, config)
        self.expert = _gemma(width, config.action.mlp, config)
        self.heads = nn.ModuleDict(
            {
                "state_proj": nn.Linear(config.raw_dim, width),
                "action_in_proj": nn.Linear(config.raw_dim, width),
                "action_time_mlp_in": nn.Linear(2 * width, width),
                "action_time_mlp_out": nn.Linear(width, width),
                "action_out_proj": nn.Linear(width, config.raw_dim),
            }
        )
        with torch.no_grad():
            for model in (self.vision, self.language, self.expert):
                for name, weight in model.named_parameters():
                    weight.normal_(
                        0, 0.3 if "norm" in name or "bias" in name else weight.shape[-1] ** -0.5
                    )

    def published(self) -> dict[str, Tensor]:
        """Weights as openpi's PyTorch port names them, with the tied and the dead language head."""
        vision = {
            f"{P}paligemma.model.vision_tower.vision_model.{_tower(name)}": w
            for name, w in self.vision.state_dict().items()
        }
        projector = {
            f"{P}paligemma.model.multi_modal_projector.linear.{name}": w
            for name, w in self.projector.state_dict().items()
        }
        language = {
            f"{P}paligemma.model.language_model.{name}": w
            for name, w in self.language.state_dict().items()
        }
        expert = {
            f"{P}gemma_expert.model.{name}": w
            for name, w in self.expert.state_dict().items()
            if "embed_tokens" not in name
        }
        tied = {f"{P}paligemma.lm_head.weight": self.language.embed_tokens.weight.detach().clone()}
        dead = {
            f"{P}gemma_expert.lm_head.weight": torch.zeros(
                self.config.vocabulary, self.config.action.dim
            )
        }
        return {
            **vision,
            **projector,
            **language,
            **expert,
            **tied,
            **dead,
            **self.heads.state_dict(),
        }

    def image_tokens(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] to [B, P, D]."""
        return self.projector(self.vision(images).last_hidden_state)

    def word_tokens(self, ids: Tensor) -> Tensor:
        table = self.language.embed_tokens.weight
        return table[ids] * math.sqrt(table.shape[1])

    def language_output(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """What the language model makes of a prefix."""
        mask = torch.where(valid[:, None, None, :], 0.0, NEVER).expand(-1, 1, tokens.shape[1], -1)
        positions = valid.cumsum(1) - 1
        return self.language(
            inputs_embeds=tokens, attention_mask=mask, position_ids=positions, use_cache=False
        ).last_hidden_state

    def velocity(
        self, prefix: Tensor, prefix_valid: Tensor, state: Tensor, noisy: Tensor, t: Tensor
    ) -> Tensor:
        """One denoising step: [B, P, D], [B, P], [B, raw_dim], [B, H, raw_dim], [B] to [B, H,
        raw_dim].
        """
        width = self.config.action.dim
        fraction = torch.linspace(0, 1, width // 2, dtype=torch.float64)
        angle = t[:, None].double() * 2 * math.pi / (4e-3 * (4.0 / 4e-3) ** fraction)
        time = (
            torch.cat([angle.sin(), angle.cos()], -1)
            .float()[:, None]
            .expand(-1, noisy.shape[1], -1)
        )
        actions = self.heads["action_time_mlp_in"](
            torch.cat([self.heads["action_in_proj"](noisy), time], -1)
        )
        actions = self.heads["action_time_mlp_out"](nn.functional.silu(actions))
        suffix = torch.cat([self.heads["state_proj"](state)[:, None], actions], 1)
        valid = torch.cat([prefix_valid, torch.ones(suffix.shape[:2], dtype=torch.bool)], 1)
        blocks = torch.tensor([0] * prefix.shape[1] + [1, 1] + [0] * (noisy.shape[1] - 1)).cumsum(0)
        seen = (blocks[None, :] <= blocks[:, None])[None] & valid[:, None, :] & valid[:, :, None]
        hidden = self._joint(
            prefix, suffix, torch.where(seen[:, None], 0.0, NEVER), valid.cumsum(1) - 1
        )
        return self.heads["action_out_proj"](hidden[:, -noisy.shape[1] :])

    def _joint(self, prefix: Tensor, suffix: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        from transformers.models.gemma.modeling_gemma import apply_rotary_pos_emb

        split = [prefix.shape[1], suffix.shape[1]]
        cosine, sine = self.language.rotary_emb(prefix, positions)
        x = [prefix, suffix]
        for layers in zip(self.language.layers, self.expert.layers, strict=True):
            normed = [layer.input_layernorm(part) for layer, part in zip(layers, x, strict=True)]
            q, k, v = (
                torch.cat(
                    [
                        _heads(getattr(a.self_attn, name)(n), self.config.head_dim)
                        for a, n in zip(layers, normed, strict=True)
                    ],
                    2,
                )
                for name in ("q_proj", "k_proj", "v_proj")
            )
            q, k = apply_rotary_pos_emb(q, k, cosine, sine)
            k, v = (
                part.repeat_interleave(self.config.heads // self.config.kv_heads, 1)
                for part in (k, v)
            )
            weights = (q @ k.transpose(2, 3) * self.config.head_dim**-0.5 + mask).softmax(-1)
            attended = (weights @ v).transpose(1, 2).flatten(2).split(split, 1)
            for index, (layer, seen) in enumerate(zip(layers, attended, strict=True)):
                middle = x[index] + layer.self_attn.o_proj(seen)
                x[index] = middle + layer.mlp(layer.post_attention_layernorm(middle))
        return self.expert.norm(x[1])


def _heads(x: Tensor, head_dim: int) -> Tensor:
    return x.unflatten(-1, (-1, head_dim)).transpose(1, 2)


def _tower(name: str) -> str:
    return name.removeprefix("vision_model.")
