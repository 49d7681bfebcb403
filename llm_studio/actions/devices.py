"""Which devices this machine has, asked without loading torch."""

import functools
import shutil
import subprocess
import time
from dataclasses import dataclass

from llm_studio.config.device_names import CPU, places
from llm_studio.errors import UserError

FRESH_SECONDS = 60
MOST_PROCESSES = 16


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
    """The device, or the devices, that the setting environment.gpus means, as `config.device_names` reads them.

    "auto" is the first GPU, or the CPU where there is none; "all" every GPU; "cuda:0,cuda:1" these; "cpu:2" two
    processes on the CPU.

    Raises:
        UserError: there is no such device, or one is named twice.
    """
    found = [device.name for device in devices()]
    wanted = wanted.strip() or "auto"
    if wanted == "auto":
        return found[0]
    if wanted == "all":
        if found == [CPU]:
            raise _refused("There is no GPU here.", "Take auto or cpu.")
        return ",".join(name for name in found if name != CPU)
    if wanted.startswith(f"{CPU}:"):
        return _processes_on_cpu(wanted.removeprefix(f"{CPU}:"))
    names = [_full_name(name.strip()) for name in wanted.split(",")]
    for name in names:
        if name not in found:
            raise _refused(f"There is no device {name} here.", f"Take auto or: {', '.join(found)}.")
    if len(set(names)) < len(names):
        raise _refused(f"{wanted} names a device twice.", "Name each once.")
    if CPU in names and len(names) > 1:
        raise _refused("One experiment cannot use a GPU and the CPU together.", "Name GPUs only, or cpu.")
    return ",".join(names)


def _full_name(name: str) -> str:
    return f"cuda:{name}" if name.isdigit() else "cuda:0" if name == "cuda" else name


def _processes_on_cpu(count: str) -> str:
    if not count.isdigit() or not 1 <= int(count) <= MOST_PROCESSES:
        raise _refused(f"cpu:{count} is not a number of processes.", f"Take cpu:2 up to cpu:{MOST_PROCESSES}, or cpu.")
    return CPU if int(count) == 1 else f"{CPU}:{int(count)}"


def _refused(what: str, fix: str) -> UserError:
    return UserError(what, where="environment.gpus", fix=fix)


def title_of(device: str) -> str:
    """A device, or several, as people read it: "CPU", "cuda:0", "CPU, 2 processes"."""
    count = len(places(device))
    if device.startswith(CPU):
        return "CPU" if count == 1 else f"CPU, {count} processes"
    return device.replace(",", ", ")
