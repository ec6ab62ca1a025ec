"""From published pi0 weights to a file our model starts from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from xlvla.errors import XlvlaError, unknown
from xlvla_policy.vla import config as vla_config
from xlvla_policy.vla import published
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.meta_model import outline
from xlvla_policy.vla.model import Vla
from xlvla_policy.vla.stream import PRECISIONS, Entry, write

FORMAT = "xlvla-pretrained-1"

Projections = Literal["same", "fresh", "slice"]
"""`projections`: what becomes of the layers that read and write frames: taken over as they are,
left out (so that training begins with new ones), or cut to the first so many numbers.
"""


@dataclass(frozen=True)
class Import:
    """What an import did; names by our names, those left out of the file by the published ones."""

    taken: tuple[str, ...]
    cut: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]


class PublishedWeights:
    """Published weights: a safetensors file, or a folder with one or with shards and their index.

    Raises:
        XlvlaError: no such file, or one that is incomplete or of another kind.
    """

    def __init__(self, path: Path):
        self.metadata: dict[str, str] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._files: dict[str, Path] = {}
        for file in _files(path):
            with _opened(file) as weights:
                self.metadata |= weights.metadata() or {}
                for name in weights.keys():  # noqa: SIM118 (a file is no mapping)
                    self._shapes[name] = tuple(weights.get_slice(name).get_shape())
                    self._files[name] = file
        self.names = tuple(self._files)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def tensor(self, name: str) -> Tensor:
        """A weight, from its file opened anew: of one that stayed open, all that was read would
        stay in memory.
        """
        with _opened(self._files[name]) as weights:
            return weights.get_tensor(name)


def convert(
    path: Path,
    out: Path,
    config: VlaConfig,
    *,
    projections: str = "same",
    precision: str = "bfloat16",
    wrote: Callable[[int], None] = lambda size: None,
) -> Import:
    """Writes the published weights at `path` as a file `start` reads, tensor by tensor.

    Raises:
        XlvlaError: not all of pi0's weights are there, one has another shape, or there is an
            unknown one.
    """
    shapes = weight_shapes(config)
    dtype = _dtype(precision)
    if projections not in get_args(Projections):
        raise unknown("choice of projections", projections, get_args(Projections))
    source = PublishedWeights(path)
    layout = published.layout(source.names)
    fresh = tuple(
        name for name in shapes if projections == "fresh" and name.startswith(published.PROJECTIONS)
    )
    wanted = {name: shape for name, shape in shapes.items() if name not in fresh}
    _all_there(path, wanted, layout.keys)
    cut = tuple(_misfits(source, wanted, layout.keys, projections))
    entries = [
        Entry(name, shape, dtype, _fetch(source, layout.keys[name], shape))
        for name, shape in wanted.items()
    ]
    card = {
        "format": FORMAT,
        "config": json.dumps(config.document(), sort_keys=True),
        "fresh": json.dumps(fresh),
    }
    write(out, entries, card, wrote)
    unused = (*layout.unused, *(layout.keys[name] for name in fresh if name in layout.keys))
    return Import(tuple(wanted), cut, fresh, unused)


def start(model: Vla, path: Path) -> tuple[str, ...]:
    """Puts imported weights into a model; the names of those the file leaves to chance.

    Raises:
        XlvlaError: no such file, or one imported for another configuration.
    """
    source = PublishedWeights(path)
    metadata = source.metadata
    if metadata.get("format") != FORMAT:
        raise XlvlaError(f"{path} holds no imported weights: make one with `xlvla weights import`")
    made_for = vla_config.from_document(json.loads(metadata["config"]))
    fresh = tuple(json.loads(metadata["fresh"]))
    own = {name: parameter for name, parameter in model.named_parameters() if name not in fresh}
    misfits = [
        name
        for name in own
        if name not in source.names or source.shape(name) != tuple(own[name].shape)
    ]
    if misfits:
        raise XlvlaError(
            f"{path} was imported for another model ({made_for.layers} layers): {misfits[0]} does "
            "not fit"
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(source.tensor(name))
    return fresh


def weight_shapes(config: VlaConfig) -> dict[str, tuple[int, ...]]:
    """Every weight of a model by name, without making one."""
    return {name: tuple(tensor.shape) for name, tensor in outline(config).state_dict().items()}


def size_bytes(config: VlaConfig, precision: str) -> int:
    """What a model's weights take [bytes]."""
    return (
        sum(torch.Size(shape).numel() for shape in weight_shapes(config).values())
        * _dtype(precision).itemsize
    )


def _dtype(precision: str) -> torch.dtype:
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    return PRECISIONS[precision]


def _all_there(path: Path, wanted: dict[str, tuple[int, ...]], keys: dict[str, str]) -> None:
    missing = [name for name in wanted if name not in keys]
    if missing:
        names = " or ".join(published.published_names(missing[0]))
        raise XlvlaError(
            f"{path} lacks {len(missing)} of pi0's {len(wanted)} weights, first {names}: is a "
            "shard missing?"
        )
    strange = [
        name for name in keys if name not in wanted and not name.startswith(published.PROJECTIONS)
    ]
    if strange:
        raise XlvlaError(
            f"{path} has a weight this model has no place for: {keys[strange[0]]} (a model of "
            "another depth?)"
        )


def _misfits(
    source: PublishedWeights,
    wanted: dict[str, tuple[int, ...]],
    keys: dict[str, str],
    projections: str,
) -> Iterator[str]:
    """Which weights have to be cut; refuses those that must not or cannot be."""
    for name, shape in wanted.items():
        found = source.shape(keys[name])
        if found == shape:
            continue
        of_frames = name.startswith(published.PROJECTIONS)
        if (
            of_frames
            and projections == "slice"
            and len(found) == len(shape)
            and all(a <= b for a, b in zip(shape, found, strict=True))
        ):
            yield name
            continue
        advice = (
            "; --projections fresh trains new ones, slice cuts larger ones" if of_frames else ""
        )
        raise XlvlaError(f"{keys[name]} is {list(found)}, this model's is {list(shape)}{advice}")


def _fetch(source: PublishedWeights, key: str, shape: tuple[int, ...]) -> Callable[[], Tensor]:
    return lambda: source.tensor(key)[tuple(slice(size) for size in shape)]


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, "pt") as weights:
            yield weights
    except FileNotFoundError:
        raise XlvlaError(f"shard {file}, which the index names, is missing") from None
    except (SafetensorError, OSError) as error:
        raise XlvlaError(
            f"{file} is no complete safetensors file: {' '.join(str(error).split())}"
        ) from None


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    index = path / "model.safetensors.index.json"
    if index.is_file():
        try:
            return [
                path / name
                for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))
            ]
        except (ValueError, KeyError, AttributeError):
            raise XlvlaError(f"{index} is no index of safetensors shards") from None
    if (path / "model.safetensors").is_file():
        return [path / "model.safetensors"]
    raise XlvlaError(
        f"no weights at {path}: give a .safetensors file, or a folder with model.safetensors or "
        "its shards and index"
    )
