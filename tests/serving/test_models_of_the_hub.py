"""A backbone of the Hub, fetched and loaded by the real clients over a real socket, then again without a network."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.hub import TOKEN, running_hub
from tests.support.tuned import make_backbone

ANSWERS = """
from llm_studio.modeling.sampling import Sampling
from llm_studio.serving.engine import ChatEngine
engine = ChatEngine.load_untouched("owner/tiny", device="cpu", report=print)
print("ANSWER", repr("".join(engine.stream([{"role": "user", "content": "Hello"}], Sampling(max_tokens=8)))))
"""
CHECKS = """
from llm_studio.errors import UserError
from llm_studio.modeling.backbones import check_backbone
try:
    print(check_backbone("owner/tiny").source)
except UserError as error:
    print(error)
"""


def run(program: str, cache: Path, **variables: str) -> str:
    """What a process of its own prints, with the cache of the Hub in a folder of the test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environment = kept | {"HF_HOME": str(cache), **variables}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_model_is_fetched_once_and_answers_without_a_network_afterwards(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with running_hub() as hub:
        hub.add_folder("owner/tiny", make_backbone(tmp_path / "backbone"))
        first = run(ANSWERS, cache, HF_ENDPOINT=hub.address)
        assert "Downloading the backbone" in first and "ANSWER" in first
        assert any("model.safetensors" in line for line in hub.asked)
        assert run(CHECKS, cache, HF_ENDPOINT=hub.address).strip() == "hub cache"
    again = run(ANSWERS, cache, HF_HUB_OFFLINE="1")
    assert again.splitlines()[-1] == first.splitlines()[-1]


def test_offline_and_gated_are_said_before_anything_is_fetched(tmp_path: Path) -> None:
    offline = run(CHECKS, tmp_path / "cache", HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE forbids" in offline and "bundled starter" in offline
    with running_hub() as hub:
        hub.add_folder("owner/tiny", make_backbone(tmp_path / "backbone"), gated=True)
        assert "is gated" in run(CHECKS, tmp_path / "cache", HF_ENDPOINT=hub.address)
        opened = CHECKS.replace('check_backbone("owner/tiny")', f'check_backbone("owner/tiny", token={TOKEN!r})')
        assert run(opened, tmp_path / "cache", HF_ENDPOINT=hub.address).strip() == "hub"
