"""A policy as a folder that ONNX Runtime drives a robot with.

    observe.onnx   images, cameras, words, word_mask, past          ->  keys, values, cosine, sine,
    bias step.onnx      these, noisy [1, A, N], time [1, A, D]           ->  output [1, A, N]
    policy.json    card, hashes, and what the graphs were made from words.model    the tokenizer
    codec/         encoders and decoders of every hand, see latent/export.py

`time` is the embedding of each token's flow time (flow.time_embedding); xlvla_policy/vla/engine.py
shows the loop around them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from xlvla import __version__
from xlvla.codec import Codec
from xlvla_policy.latent import export as codec_export
from xlvla_policy.vla import checkpoint, flow, tokenizer
from xlvla_policy.vla.engine import blank, fields
from xlvla_policy.vla.engine_fused import Fused, Seen
from xlvla_policy.vla.engine_onnx import CARD, FORMAT, OBSERVE, STEP, identity
from xlvla_policy.vla.model import Vla

OPSET = 17
"""The oldest that knows all that is needed."""
LARGEST_FILE = 1_500_000_000
"""Weights beyond this [bytes] lie beside their graph: a protobuf holds 2 GB."""


class Look(nn.Module):
    def __init__(self, network: Fused):
        super().__init__()
        self.network = network

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.observe(*given))


class Think(nn.Module):
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
            return torch.cat([keys[index], k], 2), torch.cat([values[index], v], 2)

        return self.network.step(noisy, time, cosine, sine, bias, join)


def export(weights: Path, codec: Codec, out: Path, *, words: int | None = None) -> list[Path]:
    """Writes the folder; refuses weights of another codec, or whose tokenizer is not there.

    Args:
        words: longest sentence [tokens] the graphs read, if less than the policy: a shorter one is
            quicker.
    """
    model, card = checkpoint.load(weights, codec=codec.hash)
    config = replace(
        card.config, max_words=min(words or card.config.max_words, card.config.max_words)
    )
    model.config = config
    words_model = tokenizer.file_of(weights, card.words)
    out.mkdir(parents=True, exist_ok=True)
    metadata = checkpoint.metadata(replace(card, config=config))
    document = {
        "weights": _hash(weights),
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
    shutil.copyfile(words_model, tokenizer.beside(out))
    parts = codec_export.export(codec, out / "codec")
    files = {"opset": OPSET, "graphs": [path.name for path in graphs], "codec": codec.hash}
    (out / CARD).write_text(json.dumps({"format": FORMAT, **document, **files}, indent=2) + "\n")
    return [*graphs, tokenizer.beside(out), *parts, out / CARD]


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while content := file.read(1 << 24):
            digest.update(content)
    return digest.hexdigest()


@torch.no_grad()
def write_graphs(model: Vla, out: Path, about: dict[str, str]) -> list[Path]:
    """Both graphs of a model, in float32; `about` goes into their metadata."""
    config = model.config
    network = Fused(model, torch.device("cpu"), torch.float32)
    given = fields(blank(config))
    seen = network.observe(*given)
    noisy = torch.zeros(1, config.action_tokens, config.frames_per_token * config.frame_dim)
    time = flow.time_embedding(torch.ones(1, config.action_tokens), config.action.dim)
    observed = list(Seen._fields)
    inputs = ["images", "cameras", "words", "word_mask", "past"]
    return [
        _graph(Look(network), given, (inputs, observed), out / OBSERVE, about),
        _graph(
            Think(network),
            (*seen, noisy, time),
            ([*observed, "noisy", "time"], ["output"]),
            out / STEP,
            about,
        ),
    ]


def _graph(
    module: nn.Module,
    given: tuple[Tensor, ...],
    names: tuple[list[str], list[str]],
    path: Path,
    about: dict[str, str],
) -> Path:
    with TemporaryDirectory(dir=path.parent) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing: shapes are fixed here, and meant to be
        traced = Path(folder) / path.name
        torch.onnx.export(
            module,
            given,
            str(traced),
            input_names=names[0],
            output_names=names[1],
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(traced)
    helper.set_model_props(model, about)
    beside = path.with_name(f"{path.name}.data")
    beside.unlink(missing_ok=True)
    large = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > LARGEST_FILE
    onnx.save(model, path, save_as_external_data=large, location=beside.name)
    return path
