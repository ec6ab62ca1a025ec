"""Training by several processes, as started by torchrun: each holds a part of the weights and
computes a part of every batch (FSDP2).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from xlvla.errors import XlvlaError, unknown
from xlvla_policy.vla.engine_choice import device_of
from xlvla_policy.vla.expert import GatedMlp
from xlvla_policy.vla.model import Vla
from xlvla_policy.vla.vision import Attention, Mlp

DEVICES = ("auto", "cpu", "cuda")
CPU = torch.device("cpu")
TIMEOUT = timedelta(hours=6)
"""How long processes wait for one that decodes pictures or writes weights."""


@dataclass(frozen=True)
class Group:
    """The processes of a run and the rank of this one; alone unless started by torchrun."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether this process is the one that prints and writes."""
        return self.rank == 0

    def numbers(self, batch: int) -> range:
        """The numbers of this process's samples in a batch."""
        if batch % self.size:
            raise XlvlaError(
                f"a batch of {batch} does not divide among {self.size} processes: choose a --batch "
                "that does"
            )
        share = batch // self.size
        return range(self.rank * share, (self.rank + 1) * share)

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums of every process's values; every process must call it."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        torch.distributed.all_reduce(sums)
        return sums.tolist()

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process does this alone; the others afterwards."""
        if not self.first:
            torch.distributed.barrier()
        yield
        if self.first and self.size > 1:
            torch.distributed.barrier()


def join(device: str = "auto") -> Group:
    """This process's place among those torchrun started; 'auto' takes CUDA where there is one."""
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    size = _processes()
    own = device_of(device)
    backend = "gloo"
    if own.type == "cuda":
        own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(own)
        backend = "cpu:gloo,cuda:nccl"
    if size == 1:
        return Group(device=own)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group(backend, timeout=TIMEOUT)
    return Group(torch.distributed.get_rank(), size, own)


def _processes() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leave() -> None:
    """Leaves the group that `join` entered."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def end() -> None:
    """Ends a process that torchrun started and that is done, without the interpreter's clean-up.

    During clean-up, a thread of torch's now and then aborts the process on a busy machine, and
    torchrun takes a finished run for a failed one.
    """
    if _processes() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def shard(model: Vla, group: Group, *, bf16: bool) -> None:
    """Leaves each process its part of every weight; layers are gathered when they are needed, with
    `bf16` in bfloat16.

    Large layers are units of their own; the rest, the experts' attention, norms and the layers that
    read and write frames, stays gathered throughout a step, in single precision.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import (
        MixedPrecisionPolicy,
        fully_shard,
        register_fsdp_forward_method,
    )

    mesh = init_device_mesh(group.device.type, (group.size,))
    policy = MixedPrecisionPolicy()
    if bf16:
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    for unit in products(model):
        fully_shard(unit, mesh=mesh, mp_policy=policy)
    fully_shard(model.language, mesh=mesh)
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "loss")


def products(model: Vla) -> list[nn.Module]:
    """The modules of nothing but matrix products that hold most of the weights."""
    kinds = (Attention, Mlp, GatedMlp)
    return [module for module in model.modules() if isinstance(module, kinds)]


def whole(tensor: Tensor) -> Tensor:
    """A tensor on the CPU with all its parts; every process must call it."""
    tensor = tensor.detach()
    if isinstance(tensor, DTensor):
        tensor = tensor.full_tensor()
    return tensor.cpu()


def local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor; it shares its memory."""
    tensor = tensor.detach()
    if isinstance(tensor, DTensor):
        return tensor.to_local()
    return tensor


def fill(tensor: Tensor, values: Tensor) -> None:
    """Copies this process's part of the values of a whole tensor into its part."""
    if isinstance(tensor, DTensor):
        distributed = distribute_tensor(
            values.to(tensor.device), tensor.device_mesh, tensor.placements, src_data_rank=None
        )
        values = distributed.to_local()
    local(tensor).copy_(values)


def like(part: Tensor, tensor: Tensor) -> Tensor:
    """This process's part as a tensor that is distributed as `tensor` is."""
    if not isinstance(tensor, DTensor):
        return part
    return DTensor.from_local(
        part,
        tensor.device_mesh,
        tensor.placements,
        shape=tensor.shape,
        stride=tensor.stride(),
        run_check=False,
    )
