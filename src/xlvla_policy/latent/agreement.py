"""Whether the codec's runtimes give the same numbers as torch, which trained it."""

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
    """Largest difference to torch over all hands and sides, by runtime and half: of latents, and of
    joints [rad].
    """
    largest: dict[str, float] = {}
    for hand, side in product(codec.hands, SIDES):
        for name, difference in _differences(codec.part(hand, side), poses).items():
            largest[name] = max(difference, largest.get(name, 0.0))
    return largest


def _differences(part: HandCodec, poses: int) -> dict[str, float]:
    random = np.random.default_rng(0)
    q = random.uniform(part.lower, part.upper, (poses, len(part.lower))).astype(np.float32)
    z = part.encode(q)
    with torch.no_grad():
        latents = _encode(part, torch.from_numpy(q)).numpy()
        joints = _decode(part, torch.from_numpy(z)).numpy()
    differences = {
        "onnxruntime encoder": _onnx(encoder(part), q) - latents,
        "onnxruntime decoder": _onnx(decoder(part), z) - joints,
        "numpy encoder": z - latents,
        "numpy decoder": part.decode(z) - joints,
    }
    return {name: float(np.abs(difference).max()) for name, difference in differences.items()}


def _encode(part: HandCodec, q: Tensor) -> Tensor:
    middle = torch.from_numpy(part.middle)
    half = torch.from_numpy(part.half)
    return _network(part.encoder)((q - middle) / half)


def _decode(part: HandCodec, z: Tensor) -> Tensor:
    middle = torch.from_numpy(part.middle)
    half = torch.from_numpy(part.half)
    return middle + half * torch.tanh(_network(part.decoder)(z))


def _network(network: Network) -> nn.Sequential:
    names = {function: name for name, function in ACTIVATIONS.items()}
    activation = model.ACTIVATIONS[names[network.activation]]
    modules: list[nn.Module] = []
    for layer in network.layers:
        modules += [*_layer(layer), activation()]
    # The last layer has no activation.
    return nn.Sequential(*modules[:-1])


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


def _onnx(graph: onnx.ModelProto, given: np.ndarray) -> np.ndarray:
    session = one_thread(graph.SerializeToString())
    name = session.get_inputs()[0].name
    outputs = session.run(None, {name: given})
    return np.asarray(outputs[0])


def one_thread(model: bytes) -> onnxruntime.InferenceSession:
    """A model on one thread of the processor."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
