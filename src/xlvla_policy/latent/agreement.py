"""Whether the codec's runtimes give the same numbers as torch, which trained it."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx
import onnxruntime
import torch

from xlvla.codec import Codec, HandCodec
from xlvla.types import SIDES
from xlvla_policy.latent.export import decoder, encoder
from xlvla_policy.latent.torch_part import torch_decoder, torch_encoder


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
        latents = torch_encoder(part)(torch.from_numpy(q)).numpy()
        joints = torch_decoder(part)(torch.from_numpy(z)).numpy()
    differences = {
        "onnxruntime encoder": _onnx(encoder(part), q) - latents,
        "onnxruntime decoder": _onnx(decoder(part), z) - joints,
        "numpy encoder": z - latents,
        "numpy decoder": part.decode(z) - joints,
    }
    return {name: float(np.abs(difference).max()) for name, difference in differences.items()}


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
