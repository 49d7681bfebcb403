"""`llm-studio doctor`: what this machine has, and what of it the studio can use."""

import argparse
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from llm_studio import __version__
from llm_studio.cli.output import print_json

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "datasets", "h2o-wave", "sacrebleu", "plotly")
LOW_DISK_BYTES = 5_000_000_000
HUB_SECONDS = 3.0


@dataclass(frozen=True)
class Check:
    """One line of the report; `fix` is empty when nothing needs doing."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    command = commands.add_parser("doctor", help="check GPU, memory, disk, versions and hub access")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints every check; the exit code is 0 even where something is missing, since the studio still works."""
    checks = [check() for check in CHECKS]
    if arguments.json:
        print_json({"checks": checks, "packages": versions()})
        return 0
    for check in checks:
        print(f"{'ok ' if check.ok else 'no '} {check.name:<12} {check.found}")
        if check.fix:
            print(f"                 {check.fix}")
    print("    packages     " + ", ".join(f"{name} {version}" for name, version in versions().items()))
    return 0


def versions() -> dict[str, str]:
    """Installed version by package; a package that is missing says so."""
    found = {"llm-studio": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def gpu() -> Check:
    """Whether torch sees a GPU, and how much of its memory is free."""
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info(0)
        name = torch.cuda.get_device_name(0)
        return Check("gpu", True, f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free")
    if shutil.which("nvidia-smi"):
        return Check("gpu", False, "an NVIDIA driver, but torch cannot use it", "Install a CUDA build of torch.")
    return Check("gpu", False, "none", "Small models train on the CPU; larger ones need an NVIDIA GPU.")


def memory() -> Check:
    """Free memory of the machine."""
    found = psutil.virtual_memory()
    enough = found.available > 2_000_000_000
    text = f"{found.available / 1e9:.1f} of {found.total / 1e9:.1f} GB free, {psutil.cpu_count()} processors"
    return Check("memory", enough, text, "" if enough else "Close other programs: under 2 GB is free.")


def disk() -> Check:
    """Free disk space where the studio's home lies."""
    from llm_studio.store import Home

    path = Home.default().path
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    fix = "" if free > LOW_DISK_BYTES else f"Under {LOW_DISK_BYTES / 1e9:.0f} GB is free: delete old experiments."
    return Check("disk", not fix, f"{free / 1e9:.1f} GB free at {path}", fix)


def home_is_writable() -> Check:
    """Whether the studio can write its home."""
    from llm_studio.store import Home

    path = Home.default().path
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    writable = os.access(existing, os.W_OK)
    fix = "" if writable else "Set LLM_STUDIO_HOME to a folder that you may write."
    return Check("home", writable, str(path), fix)


def wave() -> Check:
    """Whether the Wave server came with its wheel."""
    server = Path(sys.prefix) / "waved"
    found = server.is_file() or server.with_suffix(".exe").is_file()
    fix = "" if found else "Reinstall h2o-wave in a virtual environment from a wheel for this platform."
    return Check("wave server", found, str(server) if found else "missing", fix)


def hub() -> Check:
    """Whether the Hugging Face Hub answers within a few seconds."""
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return Check("hub", False, "offline mode (HF_HUB_OFFLINE)", "Unset HF_HUB_OFFLINE to download backbones.")
    try:
        answer = httpx.get(f"{constants.ENDPOINT}/api/models", params={"limit": 1}, timeout=HUB_SECONDS)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        fix = "The starter backbone and local folders work without it; set HF_ENDPOINT for a mirror."
        return Check("hub", False, f"{constants.ENDPOINT} does not answer ({type(error).__name__})", fix)
    return Check("hub", True, f"{constants.ENDPOINT} answers")


CHECKS: tuple[Callable[[], Check], ...] = (gpu, memory, disk, home_is_writable, wave, hub)
