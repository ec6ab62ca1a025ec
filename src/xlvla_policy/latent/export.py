"""The codec as ONNX files: one encoder and one decoder per hand and side, joint limits and
normalisation inside.

    encoder:  joints [batch, J] rad  ->  latent [batch, L]
    decoder:  latent [batch, L]      ->  joints [batch, J] rad, within the limits

The graphs do what `xlvla.codec` does, in the same order of operations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from xlvla import __version__
from xlvla.codec import ACTIVATIONS, EPSILON, WILD, Codec, HandCodec, Layer, Network
from xlvla.errors import XlvlaError
from xlvla.types import SIDES, Side

OPSET = 17
IR = 8
"""The oldest that know layer normalisation, so that old runtimes on robots read the files."""
CARD = "codec.json"

Half = Literal["encoder", "decoder"]


@dataclass
class Graph:
    """A chain of ONNX operations under construction; `at` names the last one's output."""

    at: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def then(
        self, operation: str, *constants: np.ndarray, beside: str = "", **attributes: Any
    ) -> str:
        """Applies an operation to `at`, with constants or a named earlier result as further
        inputs.
        """
        inputs = [self.at]
        if beside:
            inputs.append(beside)
        for constant in constants:
            inputs.append(self._constant(np.asarray(constant, np.float32)))
        out = f"{operation.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [out], name=out, **attributes))
        self.at = out
        return out

    def _constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name


def encoder(part: HandCodec) -> onnx.ModelProto:
    graph = Graph("joints")
    graph.then("Sub", part.middle)
    graph.then("Div", part.half)
    graph.then("Clip", np.array(-1), np.array(1))
    _network(graph, part.encoder)
    return _model(graph, ("joints", len(part.joints)), ("latent", part.latent_dim))


def decoder(part: HandCodec) -> onnx.ModelProto:
    graph = Graph("latent")
    graph.then("Clip", np.array(-WILD), np.array(WILD))
    _network(graph, part.decoder)
    graph.then("Tanh")
    graph.then("Mul", part.half)
    graph.then("Add", part.middle)
    # Rounding must not leave the limits.
    graph.then("Max", part.lower)
    graph.then("Min", part.upper)
    return _model(graph, ("latent", part.latent_dim), ("joints", len(part.joints)))


def export(codec: Codec, out: Path) -> list[Path]:
    """Writes `<hand>_<side>_<half>.onnx` for all, and `codec.json`: joints and limits of each, and
    the codec's hash.
    """
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for hand, side, half in product(codec.hands, SIDES, _HALVES):
        written.append(_write(codec, hand, side, half, out))
    card = out / CARD
    card.write_text(json.dumps(_card(codec), indent=2) + "\n")
    return [*written, card]


def file_name(hand: str, side: Side, half: Half) -> str:
    return f"{hand}_{side}_{half}.onnx"


def _write(codec: Codec, hand: str, side: Side, half: Half, out: Path) -> Path:
    model = _HALVES[half](codec.part(hand, side))
    about = {
        "codec": codec.hash,
        "hand": hand,
        "side": side,
        "joints": ",".join(codec.joints(hand, side)),
    }
    helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    path = out / file_name(hand, side, half)
    path.write_bytes(model.SerializeToString())
    return path


def _card(codec: Codec) -> dict[str, Any]:
    hands: dict[str, dict[str, Any]] = {hand: {} for hand in codec.hands}
    for hand, side in product(codec.hands, SIDES):
        hands[hand][side] = _part_card(codec.part(hand, side), hand, side)
    return {
        "codec": codec.hash,
        "latent_dim": codec.latent_dim,
        "xlvla": __version__,
        "hands": hands,
    }


def _part_card(part: HandCodec, hand: str, side: Side) -> dict[str, Any]:
    files = {half: file_name(hand, side, half) for half in _HALVES}
    return {
        **files,
        "joints": part.joints,
        "lower": part.lower.tolist(),
        "upper": part.upper.tolist(),
    }


def _network(graph: Graph, network: Network) -> None:
    for layer in network.layers[:-1]:
        _layer(graph, layer)
        _activate(graph, network)
    _layer(graph, network.layers[-1])


def _layer(graph: Graph, layer: Layer) -> None:
    graph.then("Gemm", layer.weight, layer.bias)
    if layer.gain is not None and layer.shift is not None:
        graph.then("LayerNormalization", layer.gain, layer.shift, axis=-1, epsilon=EPSILON)


def _activate(graph: Graph, network: Network) -> None:
    names = {function: name for name, function in ACTIVATIONS.items()}
    name = names.get(network.activation)
    if name == "relu":
        graph.then("Relu")
    elif name == "silu":
        before = graph.at
        graph.then("Sigmoid")
        graph.then("Mul", beside=before)
    else:
        raise XlvlaError(f"activation '{name}' of the codec has no ONNX form: known are relu, silu")


def _model(graph: Graph, given: tuple[str, int], wanted: tuple[str, int]) -> onnx.ModelProto:
    """The finished graph; `given` and `wanted` are name and width of its input and its output."""
    given_name, _ = given
    wanted_name, _ = wanted
    graph.nodes[-1].output[0] = wanted_name
    finished = helper.make_graph(
        graph.nodes,
        f"{given_name}_to_{wanted_name}",
        [_batches(*given)],
        [_batches(*wanted)],
        graph.constants,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(finished, producer_name="xlvla", opset_imports=opsets, ir_version=IR)


def _batches(name: str, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])


_HALVES: Mapping[Half, Callable[[HandCodec], onnx.ModelProto]] = {
    "encoder": encoder,
    "decoder": decoder,
}
