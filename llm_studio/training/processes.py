"""The processes that share one training: who is who among them, and how they agree, add up and end together.

Torch does the work: gloo between CPUs, nccl between GPUs, DistributedDataParallel for a whole model on each device and
FSDP2 (`fully_shard`) for a model split over all of them; see `training/sharing.py`. Agreements go over the CPU, so that
no GPU is waited for.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

import psutil
import torch
import torch.distributed as dist

Kind = Literal["alone", "ddp", "fsdp"]
LOOPBACK = "127.0.0.1"
PATIENCE = timedelta(days=1)
"""A process that is gone is noticed by its closed connection and by the one that started it, not by the clock: the
others may wait for hours while the first downloads a backbone."""


@dataclass(frozen=True)
class Processes:
    """rank: this one's number, from 0; size: how many there are; device: this one's; kind: how they share the model."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    kind: Kind = "alone"

    @property
    def first(self) -> bool:
        """Whether this is the one that decides, writes and tells."""
        return self.rank == 0

    def sharing(self, kind: Kind) -> "Processes":
        """The same processes with another way to share the model."""
        return self if self.size == 1 else replace(self, kind=kind)

    def agreed(self, *mine: bool) -> tuple[bool, ...]:
        """What the first process says; all must ask, and all go on with the same answer."""
        if self.size == 1:
            return mine
        told = torch.tensor(mine, dtype=torch.uint8)
        dist.broadcast(told, 0)
        return tuple(bool(value) for value in told.tolist())

    def everywhere(self, mine: bool) -> bool:
        """Whether it holds in all processes."""
        if self.size == 1:
            return mine
        told = torch.tensor([mine], dtype=torch.uint8)
        dist.all_reduce(told, dist.ReduceOp.MIN)
        return bool(told.item())

    def summed(self, mine: torch.Tensor) -> torch.Tensor:
        """Sum over the processes, on the tensor's device and without waiting for it."""
        if self.size > 1:
            dist.all_reduce(mine)
        return mine

    def gathered(self, mine: Any) -> list[Any]:
        """What each process has, by rank; for what pickle can carry between processes of one experiment."""
        if self.size == 1:
            return [mine]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, mine)
        return found

    def free_bytes(self) -> int:
        """Memory that this process may still take on its device; of the machine's it may take its share."""
        if self.device == "cpu":
            return int(psutil.virtual_memory().available / self.size)
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info(torch.device(self.device))[0])

    def wait(self) -> None:
        """Until all are here."""
        self.agreed(True)
        self.everywhere(True)

    @contextmanager
    def one_first(self) -> Iterator[None]:
        """The first process does what follows while the others wait; then they do it and find it done."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    @contextmanager
    def in_turns(self, at_once: int) -> Iterator[None]:
        """So many processes at a time do what follows, the first ones first; all go on together afterwards."""
        turns, mine = -(-self.size // at_once), self.rank // at_once
        for _ in range(mine):
            self.wait()
        yield
        for _ in range(turns - mine - 1):
            self.wait()
        self.wait()


ALONE = Processes()


def are_several() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def joined(device: str) -> Processes:
    """Meet the other processes that torchrun has started; kind is "ddp" until `sharing` says otherwise.

    device: "cpu" or "cuda:1", of this process. All connections stay on this machine.
    """
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    gpu = device != "cpu"
    if gpu:
        torch.cuda.set_device(torch.device(device))
    loopback = loopback_name()
    for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(variable, loopback)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if gpu else "gloo",
        store=meeting_place(int(os.environ["MASTER_PORT"]), rank, size),
        rank=rank,
        world_size=size,
        timeout=PATIENCE,
    )
    return Processes(rank, size, device, "ddp")


def meeting_place(port: int, rank: int, size: int) -> dist.TCPStore:
    """Where the processes find each other: a store of the first one that listens on loopback alone.

    Torch's own `env://` would listen on every network of the machine.
    """
    listening = None
    listens = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"  # torchrun by hand has its own
    if listens:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as found:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((LOOPBACK, port))
            found.listen(size)
            listening = found.detach()
    return dist.TCPStore(
        LOOPBACK, port, size, is_master=listens, timeout=timedelta(minutes=10), master_listen_fd=listening
    )


def loopback_name() -> str:
    """Name of the network interface that leads nowhere but here: "lo", or "lo0" on a Mac."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.family == socket.AF_INET and one.address == LOOPBACK for one in addresses):
            return str(name)
    return "lo"


def leave() -> None:
    """Part from the others; nothing happens when there are none."""
    if dist.is_initialized():
        dist.destroy_process_group()
