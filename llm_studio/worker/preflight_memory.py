"""How much memory an experiment took at its peak and could have: of the device on a GPU, of the process on a CPU."""

from pathlib import Path

import psutil
import torch

STATUS = Path("/proc/self/status")
FORGETS = Path("/proc/self/clear_refs")
PEAK = "VmHWM:"
LEFT_BEHIND = 0.1
"""On a CPU an experiment takes this share more at its peak than the few steps and answers of a check: kernels for more
lengths of rows, and holes in the heap, on which an evaluation comes on top. It was 5 to 19 % in five configurations
(`make bench ARGS=forecast`). On a GPU only what torch has allocated counts, which does not grow."""
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def peak_bytes(device: str) -> int:
    """The most memory this process has had in use, since it began or `forget_peak`: allocated by torch on a GPU,
    resident on a CPU. Nothing is forgotten before the measured steps, since loading is part of the experiment too."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(torch.device(device)))
    return resident_peak(STATUS)


def of_an_experiment(peak: int, device: str) -> int:
    """The peak of a whole experiment, by that of its check."""
    return peak if device.startswith("cuda") else int(peak * (1 + LEFT_BEHIND))


def forget_peak(device: str) -> bool:
    """From here on `peak_bytes` counts anew; False where the system does not let a process say so."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(torch.device(device))
        return True
    try:
        FORGETS.write_text("5", encoding="ascii")  # man 5 proc: resets the peak of the resident set
    except OSError:
        return False
    return True


def bytes_now(device: str) -> int:
    """Memory in use now."""
    if device.startswith("cuda"):
        return int(torch.cuda.memory_allocated(torch.device(device)))
    return int(psutil.Process().memory_info().rss)


def device_bytes(device: str) -> int:
    """Memory of the device; of a CPU, what this machine or this container has."""
    if device.startswith("cuda"):
        return int(torch.cuda.get_device_properties(torch.device(device)).total_memory)
    return machine_bytes(LIMITS)


def available_bytes(device: str) -> int:
    """What this process has and could still get."""
    if device.startswith("cuda"):
        own = torch.cuda.memory_reserved(torch.device(device))
        return int(torch.cuda.mem_get_info(torch.device(device))[0] + own)
    own = psutil.Process().memory_info().rss
    return int(min(psutil.virtual_memory().available + own, machine_bytes(LIMITS)))


def resident_peak(status: Path) -> int:
    """VmHWM of a process's status file, in bytes; where the system has none, what is resident now."""
    try:
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return int(psutil.Process().memory_info().rss)
    kilobytes = next((line.split()[1] for line in lines if line.startswith(PEAK)), None)
    return int(psutil.Process().memory_info().rss) if kilobytes is None else 1024 * int(kilobytes)


def machine_bytes(limits: tuple[Path, ...]) -> int:
    """Memory of the machine, or less where its container is allowed less."""
    total = int(psutil.virtual_memory().total)
    for path in limits:
        try:
            total = min(total, int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue  # there is no container, or it is allowed everything ("max")
    return total
