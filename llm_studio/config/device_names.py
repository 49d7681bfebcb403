"""What a device's name says: "cpu", "cuda:0", several GPUs ("cuda:0,cuda:1") or processes on the CPU ("cpu:2")."""

CPU = "cpu"


def places(device: str) -> tuple[str, ...]:
    """The device of each process of an experiment, in order: "cpu:2" is ("cpu", "cpu")."""
    found: list[str] = []
    for name in device.split(","):
        kind, _, number = name.strip().partition(":")
        found += [CPU] * int(number or 1) if kind == CPU else [name.strip()]
    return tuple(found)


def devices_in(device: str) -> tuple[str, ...]:
    """The devices themselves, each once: "cpu:2" is ("cpu",)."""
    return tuple(dict.fromkeys(places(device)))


def is_cpu(device: str) -> bool:
    """Whether nothing but the CPU is meant."""
    return devices_in(device) == (CPU,)
