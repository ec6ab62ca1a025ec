"""The run-time networks of a codec as torch modules, differentiable and frozen."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from xlvla.codec import ACTIVATIONS, EPSILON, HandCodec, Layer, Network
from xlvla_policy.latent import model


def torch_encoder(part: HandCodec) -> Callable[[Tensor], Tensor]:
    """Joints [B, J] rad within the limits to latents [B, L]."""
    middle = torch.from_numpy(part.middle)
    half = torch.from_numpy(part.half)
    network = _network(part.encoder)
    return lambda q: network((q - middle) / half)


def torch_decoder(part: HandCodec) -> Callable[[Tensor], Tensor]:
    """Latents [B, L] to joints [B, J] rad."""
    middle = torch.from_numpy(part.middle)
    half = torch.from_numpy(part.half)
    lower = torch.from_numpy(part.lower)
    upper = torch.from_numpy(part.upper)
    network = _network(part.decoder)
    return lambda z: (middle + half * torch.tanh(network(z))).clamp(lower, upper)


def _network(network: Network) -> nn.Sequential:
    names = {function: name for name, function in ACTIVATIONS.items()}
    activation = model.ACTIVATIONS[names[network.activation]]
    modules: list[nn.Module] = []
    for layer in network.layers:
        modules += [*_layer(layer), activation()]
    # The last layer has no activation.
    return nn.Sequential(*modules[:-1]).requires_grad_(False)


def _layer(layer: Layer) -> list[nn.Module]:
    width, out = layer.weight.shape
    linear = nn.Linear(width, out)
    norm = nn.LayerNorm(out, EPSILON)
    with torch.no_grad():
        linear.weight[:] = torch.from_numpy(layer.weight).T
        linear.bias[:] = torch.from_numpy(layer.bias)
        if layer.gain is None or layer.shift is None:
            return [linear]
        norm.weight[:] = torch.from_numpy(layer.gain)
        norm.bias[:] = torch.from_numpy(layer.shift)
    return [linear, norm]
