"""The network as two ONNX graphs in a folder, run by ONNX Runtime on the processors a robot has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import torch
from onnxruntime import InferenceSession, OrtValue
from torch import Tensor

from xlvla import files
from xlvla.checksum import CHECKSUM
from xlvla.errors import XlvlaError
from xlvla.files import reading_card
from xlvla_policy.vla import checkpoint, stream
from xlvla_policy.vla.checkpoint import ModelCard
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.engine import Stepper
from xlvla_policy.vla.model import Inputs

FORMAT = "xlvla-onnx-2"
CARD = "policy.json"
OBSERVE = "observe.onnx"
STEP = "step.onnx"
PROVIDERS = {
    "TensorrtExecutionProvider": "cuda",
    "CUDAExecutionProvider": "cuda",
    "CPUExecutionProvider": "cpu",
}
"""ONNX Runtime's execution providers, the quickest first, and the device of each."""
HASH_LENGTH = 12


class Onnx(Stepper):
    """Runs an exported folder. An observation stays on the device between the steps; inputs and
    chunks go through the CPU.

    Args:
        device: cpu, cuda, or auto for the quickest available.
        half: lets TensorRT compute in half precision.
        threads: processor threads.

    Raises:
        XlvlaError: the graphs are missing or damaged, or the device is not there.
    """

    def __init__(
        self,
        folder: Path,
        config: VlaConfig,
        *,
        device: str = "auto",
        half: bool = False,
        threads: int = 1,
    ):
        super().__init__(config, torch.device("cpu"))
        self._observe = _session(folder / OBSERVE, device, half, threads)
        self._step = _session(folder / STEP, device, half, threads)
        on_gpu = _device(self._observe) == "cuda" and _device(self._step) == "cuda"
        self._place = "cuda" if on_gpu else "cpu"
        if device not in ("auto", self._place):
            raise XlvlaError(
                f"ONNX Runtime could not start on {device}, see its message above: choose device "
                "cpu or auto"
            )
        self.exports = {_identity_of(self._observe), _identity_of(self._step)}
        """Identities of the graphs (see `identity`), which must be one."""
        self._input_names = [node.name for node in self._observe.get_inputs()]

    def observe(self, inputs: Inputs) -> dict[str, OrtValue]:
        arrays: dict[str, np.ndarray] = {}
        for name, tensor in zip(self._input_names, self.fitted(inputs), strict=True):
            arrays[name] = _array(tensor)
        return _run(self._observe, arrays, {}, self._place)

    def step(self, seen: dict[str, OrtValue], noisy: Tensor, embedding: Tensor) -> Tensor:
        arrays = {"noisy": _array(noisy), "time": _array(embedding)}
        outputs = _run(self._step, arrays, seen, "cpu")
        return torch.from_numpy(outputs["output"].numpy())


def load(
    folder: Path, *, device: str, half: bool, threads: int, codec: str | None
) -> tuple[Onnx, ModelCard]:
    """The engine in an exported folder, and its card.

    Args:
        codec: hash of the codec in use; None skips the check.

    Raises:
        XlvlaError: it is no such folder, its files don't belong together, or it was trained with
            another codec's latents.
    """
    document = _document(folder)
    with reading_card(folder / CARD):
        exported_as = identity(document)
        hashes = dict(document["hashes"])
    card = _card(folder, document)
    checkpoint.agree(folder, "codec", card.codec, codec)
    _refuse_changed(folder, hashes)
    engine = Onnx(folder, card.config, device=device, half=half, threads=threads)
    if engine.exports != {exported_as}:
        raise XlvlaError(
            f"the graphs and the card in {folder} do not belong together: write it anew with "
            "`xlvla policy export`"
        )
    return engine, card


def _card(folder: Path, document: Mapping[str, Any]) -> ModelCard:
    with reading_card(folder / CARD):
        metadata = {"format": document["card_format"], "card": json.dumps(document["card"])}
    return checkpoint.read_model_card(folder / CARD, metadata)


def _refuse_changed(folder: Path, hashes: Mapping[str, object]) -> None:
    """Refuses graphs, or weights beside them, that were changed after they were written."""
    for name in (OBSERVE, STEP):
        if name not in hashes:
            raise XlvlaError(f"the card of {folder / CARD} is damaged: it has no hash of {name}")
    for name, expected in hashes.items():
        path = files.inside(folder, name, "a graph")
        if not path.is_file():
            raise XlvlaError(f"{path} is missing: export the policy again")
        if stream.sha256(path) != expected:
            raise XlvlaError(f"{path} was changed after it was written: export the policy again")


def document_hash(document: Mapping[str, Any]) -> str:
    """Hash of everything in a folder's card but the hash itself."""
    hashed = {key: value for key, value in document.items() if key != CHECKSUM}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def identity(document: Mapping[str, Any]) -> str:
    """Short hash of the weights that graphs were made from and of their card."""
    card = json.dumps(document["card"], sort_keys=True)
    content = document["weights"] + card
    return hashlib.sha256(content.encode()).hexdigest()[:HASH_LENGTH]


def providers(device: str, available: Sequence[str]) -> list[str]:
    """The execution providers for a device, the quickest first; `auto` takes all, and the CPU's is
    always among them, for operators the others lack.

    Raises:
        XlvlaError: ONNX Runtime has none for the device.
    """
    chosen: list[str] = []
    devices: set[str] = set()
    for name, place in PROVIDERS.items():
        if name not in available:
            continue
        if device == "auto" or place in (device, "cpu"):
            chosen.append(name)
            devices.add(place)
    if device != "auto" and device not in devices:
        raise XlvlaError(
            f"this ONNX Runtime has nothing for {device} ({', '.join(available)}): pip install "
            "onnxruntime-gpu, or device: cpu"
        )
    return chosen


def _document(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise XlvlaError(
            f"{folder} holds no exported policy ({CARD} is missing or damaged): write one with "
            "`xlvla policy export`"
        )
    document = cast(dict[str, Any], document)
    file_format = document.get("format", "not given")
    is_complete = {"weights", "card", "card_format", "hashes"} <= document.keys()
    if file_format != FORMAT or not is_complete:
        raise XlvlaError(
            f"{path} is of format '{file_format}', '{FORMAT}' is needed: export the policy again"
        )
    # Folders of older versions have none.
    if CHECKSUM in document and document[CHECKSUM] != document_hash(document):
        raise XlvlaError(f"{path} was changed after it was written: export the policy again")
    return document


def _session(graph: Path, device: str, half: bool, threads: int) -> InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # A robot's processors have other work.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    tensorrt = {
        "trt_fp16_enable": str(half),
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(graph.parent / "tensorrt"),
    }
    chosen: list[tuple[str, dict[str, str]]] = []
    for name in providers(device, onnxruntime.get_available_providers()):
        settings = tensorrt if name == "TensorrtExecutionProvider" else {}
        chosen.append((name, settings))
    try:
        return InferenceSession(graph, options, providers=chosen)
    except Exception as error:  # ONNX Runtime's errors have no class in common
        reason = " ".join(str(error).split())[-300:]
        raise XlvlaError(f"{graph} does not run: {reason}") from None


def _device(session: InferenceSession) -> str:
    """The device of the provider that a session prefers."""
    return PROVIDERS[session.get_providers()[0]]


def _identity_of(session: InferenceSession) -> str | None:
    return session.get_modelmeta().custom_metadata_map.get("policy")


def _run(
    session: InferenceSession,
    arrays: dict[str, np.ndarray],
    on_device: dict[str, OrtValue],
    output_device: str,
) -> dict[str, OrtValue]:
    """Outputs by name, on `output_device`; inputs are arrays, or lie on the device already."""
    binding = session.io_binding()
    for name, array in arrays.items():
        binding.bind_cpu_input(name, array)
    for name, value in on_device.items():
        binding.bind_ortvalue_input(name, value)
    names = [node.name for node in session.get_outputs()]
    for name in names:
        binding.bind_output(name, output_device)
    session.run_with_iobinding(binding)
    return dict(zip(names, binding.get_outputs(), strict=True))


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().cpu().numpy())
