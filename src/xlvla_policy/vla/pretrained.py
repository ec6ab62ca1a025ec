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

from xlvla import files
from xlvla.errors import XlvlaError, unknown
from xlvla_policy.vla import config as vla_config
from xlvla_policy.vla import published
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.meta_model import outline
from xlvla_policy.vla.model import Vla
from xlvla_policy.vla.stream import PRECISIONS, Entry, write

FORMAT = "xlvla-pretrained-1"

Projections = Literal["same", "fresh", "slice"]
"""What becomes of the layers that read and write frames: taken over as they are, left out (so that
training begins with new ones), or cut to the first numbers that fit.
"""

STORED = ("F64", "F32", "F16", "BF16")
"""How a weight may be stored; quantised ones mean nothing without their scales."""

COMPARED_ROWS = 8192
"""Rows of two weights that are in memory at once."""

Shapes = dict[str, tuple[int, ...]]
"""Shape of every weight by its name."""


@dataclass(frozen=True)
class Import:
    """Names of the weights an import took over, those of them it cut, and those left to be drawn
    anew, all by our names; the published names that were not used; and of weights that should be
    the same and differ, the published names of the one taken and of the other.
    """

    taken: tuple[str, ...]
    cut: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]
    differing: tuple[tuple[str, str], ...] = ()


class PublishedWeights:
    """Published weights: a safetensors file, or a folder with one or with shards and their index.

    Raises:
        XlvlaError: no such file, or one that is incomplete, of another kind or quantised.
    """

    def __init__(self, path: Path):
        self.metadata: dict[str, str] = {}
        self._shapes: Shapes = {}
        self._files: dict[str, Path] = {}
        for file in _files(path):
            with _opened(file) as weights:
                self.metadata.update(weights.metadata() or {})
                for name in weights.keys():  # noqa: SIM118 (a file is no mapping)
                    if name in self._files:
                        raise XlvlaError(f"{name} is in two shards: {self._files[name]}, {file}")
                    weight = weights.get_slice(name)
                    if weight.get_dtype() not in STORED:
                        raise XlvlaError(
                            f"{name} is stored as {weight.get_dtype()}: quantised weights are not "
                            f"read, only {', '.join(STORED)}"
                        )
                    self._shapes[name] = tuple(weight.get_shape())
                    self._files[name] = file
        self.names = tuple(self._files)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def same(self, one: str, other: str) -> bool:
        """Whether two weights are equal, compared some rows at a time."""
        shape = self.shape(one)
        if shape != self.shape(other):
            return False
        with _opened(self._files[one]) as first, _opened(self._files[other]) as second:
            ones = first.get_slice(one)
            others = second.get_slice(other)
            for row in range(0, shape[0], COMPARED_ROWS):
                rows = slice(row, row + COMPARED_ROWS)
                if not torch.equal(ones[rows], others[rows]):
                    return False
        return True

    def tensor(self, name: str) -> Tensor:
        """A weight. Its file is opened anew: an open one would keep in memory all that was read."""
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
        XlvlaError: not all of pi0's weights are there, one has another shape or holds what is no
            number at this precision, there is an unknown one, or the checkpoint says that it is
            another policy's.
    """
    shapes = weight_shapes(config)
    dtype = _dtype(precision)
    if projections not in get_args(Projections):
        raise unknown("choice of projections", projections, get_args(Projections))
    _refuse_other_policies(path)
    source = PublishedWeights(path)
    layout = published.layout(source.names)
    fresh: list[str] = []
    wanted: Shapes = {}
    for name, shape in shapes.items():
        if projections == "fresh" and _reads_or_writes_frames(name):
            fresh.append(name)
        else:
            wanted[name] = shape
    _check_complete(path, wanted, layout.keys)
    cut = tuple(_misfits(source, wanted, layout.keys, projections))
    entries: list[Entry] = []
    for name, shape in wanted.items():
        fetch = _fetch(source, layout.keys[name], shape, dtype)
        entries.append(Entry(name, shape, dtype, fetch))
    card = {
        "format": FORMAT,
        "config": json.dumps(config.document(), sort_keys=True),
        "fresh": json.dumps(fresh),
    }
    write(out, entries, card, wrote)
    unused = list(layout.unused)
    for name in fresh:
        if name in layout.keys:
            unused.append(layout.keys[name])
    differing = tuple(pair for pair in layout.tied if not source.same(*pair))
    return Import(tuple(wanted), cut, tuple(fresh), tuple(unused), differing)


def start(model: Vla, path: Path) -> tuple[str, ...]:
    """Puts imported weights into a model; the names of those that stay as they were drawn.

    Raises:
        XlvlaError: no such file, or one imported for another configuration.
    """
    source = PublishedWeights(path)
    metadata = source.metadata
    if metadata.get("format") != FORMAT:
        raise XlvlaError(f"{path} holds no imported weights: make one with `xlvla weights import`")
    imported_for = vla_config.from_document(json.loads(metadata["config"]))
    fresh = tuple(json.loads(metadata["fresh"]))
    own = {name: parameter for name, parameter in model.named_parameters() if name not in fresh}
    for name, parameter in own.items():
        if name not in source.names or source.shape(name) != tuple(parameter.shape):
            raise XlvlaError(
                f"{path} was imported for another model ({imported_for.layers} layers): {name} "
                "does not fit"
            )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(source.tensor(name))
    return fresh


def weight_shapes(config: VlaConfig) -> Shapes:
    """Every weight of a model by name, without allocating one."""
    weights = outline(config).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def size_bytes(config: VlaConfig, precision: str) -> int:
    """Size of a model's weights [bytes]."""
    numbers = sum(torch.Size(shape).numel() for shape in weight_shapes(config).values())
    return numbers * _dtype(precision).itemsize


def _dtype(precision: str) -> torch.dtype:
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    return PRECISIONS[precision]


def _reads_or_writes_frames(name: str) -> bool:
    return name.startswith(published.PROJECTIONS)


def _check_complete(path: Path, wanted: Shapes, keys: dict[str, str]) -> None:
    """Refuses a file with too few weights, or with some this model does not have."""
    missing = [name for name in wanted if name not in keys]
    if missing:
        names = " or ".join(published.published_names(missing[0]))
        raise XlvlaError(
            f"{path} lacks {len(missing)} of pi0's {len(wanted)} weights, first {names}: is a "
            "shard missing?"
        )
    for name, key in keys.items():
        if name not in wanted and not _reads_or_writes_frames(name):
            raise XlvlaError(
                f"{path} has a weight this model has no place for: {key} (a model of another "
                "depth?)"
            )


def _misfits(
    source: PublishedWeights,
    wanted: Shapes,
    keys: dict[str, str],
    projections: str,
) -> Iterator[str]:
    """Which weights have to be cut; refuses those that must not or cannot be."""
    for name, shape in wanted.items():
        source_shape = source.shape(keys[name])
        if source_shape == shape:
            continue
        advice = ""
        if _reads_or_writes_frames(name):
            if projections == "slice" and _fits_into(shape, source_shape):
                yield name
                continue
            advice = "; --projections fresh trains new ones, slice cuts larger ones"
        raise XlvlaError(
            f"{keys[name]} is {list(source_shape)}, this model's is {list(shape)}{advice}"
        )


def _fits_into(shape: tuple[int, ...], larger: tuple[int, ...]) -> bool:
    if len(shape) != len(larger):
        return False
    return all(size <= limit for size, limit in zip(shape, larger, strict=True))


def _fetch(
    source: PublishedWeights, key: str, shape: tuple[int, ...], dtype: torch.dtype
) -> Callable[[], Tensor]:
    """Reads a weight, cut to a shape, in a precision that holds its numbers."""
    cut = tuple(slice(size) for size in shape)

    def fetch() -> Tensor:
        weight = source.tensor(key)[cut].to(dtype)
        # Unlike `isfinite`, it needs no memory.
        smallest, largest = torch.aminmax(weight)
        if not (smallest.isfinite() and largest.isfinite()):
            precision = str(dtype).removeprefix("torch.")
            raise XlvlaError(
                f"{key} holds NaN or infinity as {precision}: the training diverged, or the "
                "numbers need bfloat16 or float32"
            )
        return weight

    return fetch


def _refuse_other_policies(path: Path) -> None:
    """Refuses a checkpoint whose `config.json` names another policy; openpi's names none."""
    folder = path if path.is_dir() else path.parent
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError, RecursionError):
        return
    if not isinstance(config, dict):
        return
    # LeRobot's word, and transformers'.
    kind = config.get("type", config.get("model_type", "pi0"))
    if kind != "pi0":
        raise XlvlaError(
            f"{folder / 'config.json'} says that these are weights of '{str(kind)[:60]}', not of "
            "pi0: import pi0 or pi0_base weights"
        )


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, "pt") as weights:
            yield weights
    except FileNotFoundError:
        raise XlvlaError(f"shard {file}, which the index names, is missing") from None
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise XlvlaError(f"{file} is no complete safetensors file: {reason}") from None


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    index = path / "model.safetensors.index.json"
    if index.is_file():
        try:
            shard_by_weight = json.loads(index.read_text())["weight_map"]
            shards = sorted(set(shard_by_weight.values()))
            return [files.inside(path, shard, f"a shard of {index}") for shard in shards]
        except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError):
            raise XlvlaError(f"{index} is no index of safetensors shards") from None
    single = path / "model.safetensors"
    if single.is_file():
        return [single]
    raise XlvlaError(
        f"no weights at {path}: give a .safetensors file, or a folder with model.safetensors or "
        "its shards and index"
    )
