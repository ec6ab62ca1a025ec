"""A policy as a folder that ONNX Runtime drives a robot with.

    observe.onnx   images, cameras, words, word_mask, past   ->  keys, values, cosine, sine, bias
    step.onnx      these, noisy [1, A, N], time [1, A, D]    ->  output [1, A, N]
    policy.json    card, hashes, and the weights the graphs were made from
    words.model    the tokenizer
    codec/         encoders and decoders of every hand, see latent/export.py

`time` is the embedding of each token's flow time (flow.time_embedding); xlvla_policy/vla/engine.py
shows the loop around them.
"""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from xlvla import __version__
from xlvla.checksum import CHECKSUM
from xlvla.codec import Codec
from xlvla_policy.latent import export as codec_export
from xlvla_policy.vla import checkpoint, flow, stream, tokenizer
from xlvla_policy.vla.engine import blank, fields
from xlvla_policy.vla.engine_fused import Fused, Seen
from xlvla_policy.vla.engine_onnx import CARD, FORMAT, OBSERVE, STEP, document_hash, identity
from xlvla_policy.vla.model import Vla

OPSET = 17
"""The oldest with all operators that are needed."""
LARGEST_FILE = 1_500_000_000
"""Weights larger than this [bytes] lie beside their graph: a protobuf holds 2 GB."""


class ObserveGraph(nn.Module):
    """`Fused.observe` with the fields of Inputs as arguments."""

    def __init__(self, network: Fused):
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.observe(*inputs))


class StepGraph(nn.Module):
    """`Fused.step` with the fields of Seen as arguments."""

    def __init__(self, network: Fused):
        super().__init__()
        self.network = network

    def forward(
        self,
        keys: Tensor,
        values: Tensor,
        cosine: Tensor,
        sine: Tensor,
        bias: Tensor,
        noisy: Tensor,
        time: Tensor,
    ) -> Tensor:
        def join(index: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            all_k = torch.cat([keys[index], k], 2)
            all_v = torch.cat([values[index], v], 2)
            return all_k, all_v

        return self.network.step(noisy, time, cosine, sine, bias, join)


def export(weights: Path, codec: Codec, out: Path, *, words: int | None = None) -> list[Path]:
    """Writes the folder; refuses weights of another codec, or whose tokenizer is not there.

    Args:
        words: longest sentence [tokens] the graphs read, if less than the policy does: shorter
            sentences are quicker.
    """
    model, card = checkpoint.load(weights, codec=codec.hash)
    max_words = card.config.max_words
    if words:
        max_words = min(words, max_words)
    config = replace(card.config, max_words=max_words)
    model.config = config
    words_model = tokenizer.file_of(weights, card.words)
    out.mkdir(parents=True, exist_ok=True)
    metadata = checkpoint.metadata(replace(card, config=config))
    document = {
        "weights": stream.sha256(weights),
        "card_format": metadata["format"],
        "card": json.loads(metadata["card"]),
    }
    about = {
        "policy": identity(document),
        "codec": card.codec,
        "words": card.words,
        "xlvla": __version__,
    }
    graphs = write_graphs(model, out, about)
    exported_words = tokenizer.beside(out)
    shutil.copyfile(words_model, exported_words)
    codec_files = codec_export.export(codec, out / "codec")
    document = {
        "format": FORMAT,
        **document,
        "opset": OPSET,
        "graphs": [path.name for path in graphs],
        "hashes": {path.name: stream.sha256(path) for path in _with_weights(graphs)},
        "codec": codec.hash,
    }
    document[CHECKSUM] = document_hash(document)
    card_file = out / CARD
    card_file.write_text(json.dumps(document, indent=2) + "\n")
    return [*graphs, exported_words, *codec_files, card_file]


def _with_weights(graphs: list[Path]) -> list[Path]:
    """Graphs and the files of weights beside them, where they are too large for a graph."""
    beside = [path.with_name(f"{path.name}.data") for path in graphs]
    return [*graphs, *(path for path in beside if path.is_file())]


@torch.no_grad()
def write_graphs(model: Vla, out: Path, about: dict[str, str]) -> list[Path]:
    """Both graphs of a model, in float32; `about` goes into their metadata."""
    config = model.config
    network = Fused(model, torch.device("cpu"), torch.float32)
    inputs = fields(blank(config))
    seen = network.observe(*inputs)
    noisy = torch.zeros(1, config.action_tokens, config.frames_per_token * config.frame_dim)
    time = flow.time_embedding(torch.ones(1, config.action_tokens), config.action.dim)
    seen_names = list(Seen._fields)
    observe = Traced(
        module=ObserveGraph(network),
        inputs=inputs,
        input_names=["images", "cameras", "words", "word_mask", "past"],
        output_names=seen_names,
    )
    step = Traced(
        module=StepGraph(network),
        inputs=(*seen, noisy, time),
        input_names=[*seen_names, "noisy", "time"],
        output_names=["output"],
    )
    # One after the other: a graph holds a copy of its weights.
    return [_write(observe, out / OBSERVE, about), _write(step, out / STEP, about)]


@dataclass(frozen=True)
class Traced:
    """A module, and the inputs it is traced with."""

    module: nn.Module
    inputs: tuple[Tensor, ...]
    input_names: list[str]
    output_names: list[str]


def _write(traced: Traced, path: Path, about: dict[str, str]) -> Path:
    """Writes a module as a graph, large weights beside it."""
    # Not in the system's folder for temporary files: weights may be larger than that.
    with TemporaryDirectory(dir=path.parent) as folder, warnings.catch_warnings():
        # Tracing warns that shapes are fixed, which they are meant to be.
        warnings.simplefilter("ignore")
        file = Path(folder) / path.name
        torch.onnx.export(
            traced.module,
            traced.inputs,
            str(file),
            input_names=traced.input_names,
            output_names=traced.output_names,
            opset_version=OPSET,
            dynamo=False,
        )
        graph = onnx.load(file)
    helper.set_model_props(graph, about)
    weights = path.with_name(f"{path.name}.data")
    # ONNX appends to a file of weights that exists.
    weights.unlink(missing_ok=True)
    size = sum(len(tensor.raw_data) for tensor in graph.graph.initializer)
    is_large = size > LARGEST_FILE
    onnx.save(graph, path, save_as_external_data=is_large, location=weights.name)
    return path
