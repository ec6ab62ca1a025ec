"""Training by several processes, as torchrun starts them: each holds a part of the weights and
takes a part of every batch (FSDP2).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed.tensor
from torch import Tensor, nn

from xlvla.errors import XlvlaError, unknown
from xlvla_policy.vla.engine_choice import device_of
from xlvla_policy.vla.expert import GatedMlp
from xlvla_policy.vla.model import Vla
from xlvla_policy.vla.vision import Attention, Mlp

DEVICES = ("auto", "cpu", "cuda")
CPU = torch.device("cpu")
PATIENCE = timedelta(hours=6)
"""How long processes wait for one that decodes pictures or writes weights."""


@dataclass(frozen=True)
class Group:
    """The processes of a run and which one this is; alone unless torchrun says otherwise."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether this process is the one that talks and writes."""
        return self.rank == 0

    def numbers(self, batch: int) -> range:
        """Which samples of a batch are this process's."""
        if batch % self.size:
            raise XlvlaError(
                f"a batch of {batch} does not divide among {self.size} processes: choose a --batch "
                "that does"
            )
        share = batch // self.size
        return range(self.rank * share, (self.rank + 1) * share)

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums of every process's values; every process must ask."""
        if self.size == 1:
            return list(values)
        together = torch.tensor(values, dtype=torch.float64)
        torch.distributed.all_reduce(together)
        return together.tolist()

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process does this alone; the others do it when it is done."""
        if not self.first:
            torch.distributed.barrier()
        yield
        if self.first and self.size > 1:
            torch.distributed.barrier()


def join(device: str = "auto") -> Group:
    """This process's place among those torchrun started; 'auto' takes CUDA where there is one."""
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    size = int(os.environ.get("WORLD_SIZE", "1"))
    place = device_of(device)
    kind = place.type
    if kind == "cuda":
        place = torch.device(kind, int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    if size == 1:
        return Group(device=place)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group(
            "gloo" if kind == "cpu" else "cpu:gloo,cuda:nccl", timeout=PATIENCE
        )
    return Group(torch.distributed.get_rank(), size, place)


def leave() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def end() -> None:
    """Ends a process that torchrun started and that is done, without the interpreter's clean-up.

    In that a thread of torch's now and then aborts the process on a busy machine, and torchrun
    takes a finished run for a failed one.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def shard(model: Vla, group: Group, *, bf16: bool) -> None:
    """Leaves each process its part of every weight; layers are put together when they are needed,
    in bfloat16 if so asked.

    What is large is a unit of its own; the rest, the experts' attention, norms and the layers that
    read and write frames, is together throughout a step, in single precision.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import (
        MixedPrecisionPolicy,
        fully_shard,
        register_fsdp_forward_method,
    )

    mesh = init_device_mesh(group.device.type, (group.size,))
    policy = (
        MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
        if bf16
        else MixedPrecisionPolicy()
    )
    for unit in products(model):
        fully_shard(unit, mesh=mesh, mp_policy=policy)
    fully_shard(model.language, mesh=mesh)
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "loss")


def products(model: Vla) -> list[nn.Module]:
    """The modules of nothing but matrix products that hold most of the weights."""
    return [module for module in model.modules() if isinstance(module, (Attention, Mlp, GatedMlp))]


def whole(tensor: Tensor) -> Tensor:
    """A tensor on the CPU with all its parts; every process must ask."""
    tensor = tensor.detach()
    return (
        tensor.full_tensor() if isinstance(tensor, torch.distributed.tensor.DTensor) else tensor
    ).cpu()


def local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor; it shares its memory."""
    tensor = tensor.detach()
    return tensor.to_local() if isinstance(tensor, torch.distributed.tensor.DTensor) else tensor


def fill(tensor: Tensor, values: Tensor) -> None:
    """Puts the whole of a tensor's values where its parts lie."""
    if isinstance(tensor, torch.distributed.tensor.DTensor):
        values = torch.distributed.tensor.distribute_tensor(
            values.to(tensor.device), tensor.device_mesh, tensor.placements, src_data_rank=None
        ).to_local()
    local(tensor).copy_(values)


def like(part: Tensor, tensor: Tensor) -> Tensor:
    """This process's part of something laid out as `tensor` is."""
    if not isinstance(tensor, torch.distributed.tensor.DTensor):
        return part
    return torch.distributed.tensor.DTensor.from_local(
        part,
        tensor.device_mesh,
        tensor.placements,
        shape=tensor.shape,
        stride=tensor.stride(),
        run_check=False,
    )
