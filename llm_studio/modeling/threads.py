"""How the threads of torch wait for each other; to be set before torch is imported, so it imports nothing heavy.

OpenMP lets a thread that waits spin for milliseconds. On cores that are shared (a browser, the studio itself) the one
it waits for is then kept from running. Measured on two busy cores, a training step of the starter took 1.3 to 5.2 s
with the default and 0.2 to 0.5 s with a short spin.
"""

import os

VARIABLE = "GOMP_SPINCOUNT"
SPINS = "1000"  # about a microsecond, after which the thread sleeps
OVERRULED_BY = (VARIABLE, "OMP_WAIT_POLICY", "KMP_BLOCKTIME")


def share_cores() -> None:
    """Let waiting threads sleep, unless the environment says how they are to wait."""
    if not any(os.environ.get(name) for name in OVERRULED_BY):
        os.environ[VARIABLE] = SPINS
