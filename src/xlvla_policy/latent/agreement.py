"""Whether the codec's ways to run give the same numbers as torch, which trained it."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from xlvla.codec import ACTIVATIONS, EPSILON, Codec, HandCodec, Layer, Network
from xlvla.types import SIDES
from xlvla_policy.latent import model
from xlvla_policy.latent.export import decoder, encoder


def differences(codec: Codec, poses: int = 512) -> dict[str, float]:
    """Largest difference to torch over all hands and sides, by way and half: latents, and joints
    [rad].
    """
    rows = [
        _differences(codec.part(hand, side), poses) for hand, side in product(codec.hands, SIDES)
    ]
    return {name: max(row[name] for row in rows) for name in rows[0]}


def _differences(part: HandCodec, poses: int) -> dict[str, float]:
    q = (
        np.random.default_rng(0)
        .uniform(part.lower, part.upper, (poses, len(part.lower)))
        .astype(np.float32)
    )
    z = part.encode(q)
    with torch.no_grad():
        latents = _encode(part, torch.from_numpy(q)).numpy()
        joints = _decode(part, torch.from_numpy(z)).numpy()
    found = {
        "onnxruntime encoder": _onnx(encoder(part), q) - latents,
        "onnxruntime decoder": _onnx(decoder(part), z) - joints,
        "numpy encoder": z - latents,
        "numpy decoder": part.decode(z) - joints,
    }
    return {name: float(np.abs(difference).max()) for name, difference in found.items()}


def _encode(part: HandCodec, q: Tensor) -> Tensor:
    return _network(part.encoder)((q - torch.from_numpy(part.middle)) / torch.from_numpy(part.half))


def _decode(part: HandCodec, z: Tensor) -> Tensor:
    return torch.from_numpy(part.middle) + torch.from_numpy(part.half) * torch.tanh(
        _network(part.decoder)(z)
    )


def _network(network: Network) -> nn.Sequential:
    name = next(name for name, function in ACTIVATIONS.items() if function is network.activation)
    layers = [[*_layer(layer), model.ACTIVATIONS[name]()] for layer in network.layers]
    return nn.Sequential(*[module for group in layers for module in group][:-1])


def _layer(layer: Layer) -> list[nn.Module]:
    width, out = layer.weight.shape
    linear = nn.Linear(width, out)
    norm = nn.LayerNorm(out, EPSILON)
    with torch.no_grad():
        linear.weight[:], linear.bias[:] = (
            torch.from_numpy(layer.weight).T,
            torch.from_numpy(layer.bias),
        )
        if layer.gain is None or layer.shift is None:
            return [linear]
        norm.weight[:], norm.bias[:] = torch.from_numpy(layer.gain), torch.from_numpy(layer.shift)
    return [linear, norm]


def _onnx(graph: onnx.ModelProto, given: np.ndarray) -> np.ndarray:
    session = one_thread(graph.SerializeToString())
    return np.asarray(session.run(None, {session.get_inputs()[0].name: given})[0])


def one_thread(model: bytes) -> onnxruntime.InferenceSession:
    """A model on one thread of the processor."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
