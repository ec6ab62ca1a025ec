"""The network as two ONNX graphs in a folder, run by ONNX Runtime: on a robot without torch's
weights, on whatever it has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxruntime import InferenceSession, OrtValue
from torch import Tensor

from xlvla.errors import XlvlaError
from xlvla_policy.vla import checkpoint
from xlvla_policy.vla.checkpoint import ModelCard
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.engine import Stepper
from xlvla_policy.vla.model import Inputs

FORMAT = "xlvla-onnx-1"
CARD = "policy.json"
OBSERVE = "observe.onnx"
STEP = "step.onnx"
PROVIDERS = {
    "TensorrtExecutionProvider": "cuda",
    "CUDAExecutionProvider": "cuda",
    "CPUExecutionProvider": "cpu",
}
"""What runs graphs, the quickest first, and on which device."""


class Onnx(Stepper):
    """Runs an exported folder. What is seen stays on the device between the steps; tensors come and
    go through the CPU.

    Args:
        device: cpu, cuda, or auto for the best there is.
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
        self._look, self._think = (
            _session(folder, name, device, half, threads) for name in (OBSERVE, STEP)
        )
        running = [PROVIDERS[session.get_providers()[0]] for session in (self._look, self._think)]
        self._place = "cuda" if set(running) == {"cuda"} else "cpu"
        if device not in ("auto", self._place):
            raise XlvlaError(
                f"ONNX Runtime could not start on {device}, see what it said above: choose device "
                "cpu or auto"
            )
        self.exports = {
            session.get_modelmeta().custom_metadata_map.get("policy")
            for session in (self._look, self._think)
        }
        """What the graphs say they are (see identity): the same."""

    def observe(self, inputs: Inputs) -> dict[str, OrtValue]:
        names = [given.name for given in self._look.get_inputs()]
        given = dict(zip(names, map(_array, self.fitted(inputs)), strict=True))
        return self._run(self._look, given, {}, self._place)

    def step(self, seen: dict[str, OrtValue], noisy: Tensor, embedding: Tensor) -> Tensor:
        made = self._run(
            self._think, {"noisy": _array(noisy), "time": _array(embedding)}, seen, "cpu"
        )
        return torch.from_numpy(made["output"].numpy())

    def _run(
        self,
        session: InferenceSession,
        given: dict[str, np.ndarray],
        there: dict[str, OrtValue],
        to: str,
    ) -> dict[str, OrtValue]:
        """Outputs by name, on the device `to`; inputs are arrays, or lie on the device already."""
        bound = session.io_binding()
        for name, array in given.items():
            bound.bind_cpu_input(name, array)
        for name, value in there.items():
            bound.bind_ortvalue_input(name, value)
        names = [output.name for output in session.get_outputs()]
        for name in names:
            bound.bind_output(name, to)
        session.run_with_iobinding(bound)
        return dict(zip(names, bound.get_outputs(), strict=True))


def load(
    folder: Path, *, device: str, half: bool, threads: int, codec: str | None
) -> tuple[Onnx, ModelCard]:
    """The engine in an exported folder, and its card.

    Args:
        codec: hash of the codec in use; None does not ask.

    Raises:
        XlvlaError: it is no such folder, its files don't belong together, or it speaks another
            codec's latents.
    """
    document = _document(folder)
    card = checkpoint.read_model_card(
        folder / CARD, {"format": document["card_format"], "card": json.dumps(document["card"])}
    )
    checkpoint.agree(folder, "codec", card.codec, codec)
    engine = Onnx(folder, card.config, device=device, half=half, threads=threads)
    if engine.exports != {identity(document)}:
        raise XlvlaError(
            f"the graphs and the card in {folder} do not belong together: write it anew with "
            "`xlvla policy export`"
        )
    return engine, card


def identity(document: Mapping[str, Any]) -> str:
    """What graphs say they are: short hash of the weights they were made from and of the card that
    goes with them.
    """
    return hashlib.sha256(
        (document["weights"] + json.dumps(document["card"], sort_keys=True)).encode()
    ).hexdigest()[:12]


def providers(device: str, available: Sequence[str]) -> list[str]:
    """What to run graphs with on a device, or on any for auto; XlvlaError where ONNX Runtime has
    nothing for it.
    """
    chosen = [
        name
        for name, place in PROVIDERS.items()
        if name in available and (place in (device, "cpu") or device == "auto")
    ]
    if device != "auto" and not any(PROVIDERS[name] == device for name in chosen):
        raise XlvlaError(
            f"this ONNX Runtime has nothing for {device} ({', '.join(available)}): pip install "
            "onnxruntime-gpu, or device: cpu"
        )
    return chosen


def _document(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        raise XlvlaError(
            f"{folder} holds no exported policy ({CARD} is missing or damaged): write one with "
            "`xlvla policy export`"
        ) from None
    if (
        document.get("format") != FORMAT
        or not {"weights", "card", "card_format"} <= document.keys()
    ):
        raise XlvlaError(
            f"{path} is of format '{document.get('format', 'not given')}', '{FORMAT}' is needed: "
            "export the policy again"
        )
    return document


def _session(folder: Path, name: str, device: str, half: bool, threads: int) -> InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # a robot has other work for its processors
    settings = {
        "TensorrtExecutionProvider": {
            "trt_fp16_enable": str(half),
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(folder / "tensorrt"),
        }
    }
    chosen = [
        (provider, settings.get(provider, {}))
        for provider in providers(device, onnxruntime.get_available_providers())
    ]
    try:
        return InferenceSession(folder / name, options, providers=chosen)
    except Exception as error:  # ONNX Runtime's own have no class in common
        raise XlvlaError(
            f"{folder / name} does not run: {' '.join(str(error).split())[-300:]}"
        ) from None


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().cpu().numpy())
