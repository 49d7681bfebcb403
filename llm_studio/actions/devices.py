"""Which devices this machine has, asked without loading torch."""

import functools
import shutil
import subprocess
import time
from dataclasses import dataclass

from llm_studio.errors import UserError

CPU = "cpu"
FRESH_SECONDS = 60


@dataclass(frozen=True)
class Device:
    """name: "cpu" or "cuda:0". title: as people call it. memory_bytes: of its own; None for the CPU."""

    name: str
    title: str
    memory_bytes: int | None = None


def devices() -> tuple[Device, ...]:
    """All devices, GPUs first; asked again after a minute."""
    return _ask(int(time.monotonic() // FRESH_SECONDS))


@functools.lru_cache(maxsize=1)
def _ask(minute: int) -> tuple[Device, ...]:
    return (*_gpus(), Device(CPU, "CPU"))


def _gpus() -> tuple[Device, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True)
        lines = [line.rsplit(",", 1) for line in answer.stdout.splitlines() if "," in line]
        return tuple(
            Device(f"cuda:{index}", name.strip(), int(memory) * 2**20) for index, (name, memory) in enumerate(lines)
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()


def choose_device(wanted: str) -> str:
    """The device that the setting environment.gpus means: "auto" is the first GPU, or the CPU where there is none.

    Raises:
        UserError: there is no such device.
    """
    found = devices()
    wanted = wanted.strip() or "auto"
    if wanted == "auto":
        return found[0].name
    wanted = f"cuda:{wanted}" if wanted.isdigit() else "cuda:0" if wanted == "cuda" else wanted
    if wanted not in {device.name for device in found}:
        listed = ", ".join(device.name for device in found)
        raise UserError(f"There is no device {wanted} here.", where="environment.gpus", fix=f"Take auto or: {listed}.")
    return wanted
