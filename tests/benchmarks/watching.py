"""Peak memory of a process and of all that it starts."""

import subprocess
import time

import psutil


def peak_memory(process: "subprocess.Popen[bytes]") -> float:
    """Waits for the end; the largest resident memory of a process and its children together, in GB."""
    peak = 0
    while process.poll() is None:
        try:
            parent = psutil.Process(process.pid)
            peak = max(peak, sum(one.memory_info().rss for one in (parent, *parent.children(recursive=True))))
        except psutil.Error:
            pass
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"the measured process ended with {process.returncode}")
    return peak / 1e9
