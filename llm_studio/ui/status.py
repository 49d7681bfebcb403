"""The figures of the live device and queue indicator, read at most once a second for all tabs together."""

import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from llm_studio.ui import words

if TYPE_CHECKING:
    from llm_studio.store import Store


@dataclass(frozen=True)
class Status:
    """running and queued: experiments. device: "CPU" or the GPU's name; load in percent; memory and disk in bytes."""

    running: int = 0
    queued: int = 0
    device: str = "CPU"
    load_percent: int = 0
    memory_used_bytes: int = 0
    memory_total_bytes: int = 0
    disk_free_bytes: int = 0
    disk_total_bytes: int = 0

    @property
    def sentence(self) -> str:
        """The same figures in one sentence."""
        return (
            f"{words.plural(self.running, 'experiment')} running, {self.queued} queued. {self.device}: "
            f"{self.load_percent} % busy, {words.size(self.memory_used_bytes)} of "
            f"{words.size(self.memory_total_bytes)} memory used."
        )


@dataclass(frozen=True)
class _Device:
    name: str
    load_percent: int
    memory_used_bytes: int
    memory_total_bytes: int


class StatusReader:
    """Safe from several threads; figures at most one second old (five for a GPU, which a program is asked about)."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._status = Status()
        self._gpu_at = -10.0
        self._gpu: _Device | None = None
        self._gpu_program = shutil.which("nvidia-smi")
        psutil.cpu_percent(None)

    def read(self) -> Status:
        """The newest figures."""
        with self._lock:
            now = time.monotonic()
            if now - self._read_at >= 1.0 or self._read_at == 0.0:
                self._status = self._measure(now)
                self._read_at = now
            return self._status

    @property
    def last(self) -> Status:
        """The figures read last, without reading again."""
        return self._status

    def _measure(self, now: float) -> Status:
        running = len(self._store.experiments.list("running"))
        queued = len(self._store.experiments.list("queued"))
        if self._gpu_program and now - self._gpu_at >= 5.0:
            self._gpu, self._gpu_at = _ask_gpu(self._gpu_program), now
        device = self._gpu or _cpu()
        disk = shutil.disk_usage(self._store.home.database.parent)
        return Status(
            running=running,
            queued=queued,
            device=device.name,
            load_percent=device.load_percent,
            memory_used_bytes=device.memory_used_bytes,
            memory_total_bytes=device.memory_total_bytes,
            disk_free_bytes=disk.free,
            disk_total_bytes=disk.total,
        )


def _cpu() -> _Device:
    memory = psutil.virtual_memory()
    return _Device("CPU", round(psutil.cpu_percent(None)), memory.total - memory.available, memory.total)


def _ask_gpu(program: str) -> _Device | None:
    """The first GPU, or None when the program gives no figures (a driver that is not loaded)."""
    query = "--query-gpu=name,utilization.gpu,memory.used,memory.total"
    try:
        answer = subprocess.run(
            [program, query, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=3, check=True
        )
        name, load, used, total = (part.strip() for part in answer.stdout.splitlines()[0].split(","))
        return _Device(name, int(load), int(used) * 2**20, int(total) * 2**20)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
