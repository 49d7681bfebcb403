"""A backbone of the Hub, fetched and loaded by the real clients over a real socket, then again without a network."""

import json
import os
import subprocess
import sys
from pathlib import Path

from transformers import AutoTokenizer

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


LOADS = """
import sys
from llm_studio.config import make_config
from llm_studio.modeling.backbones import check_backbone
from llm_studio.modeling.download import fetch, is_here
from llm_studio.modeling.loading import load_model, load_tokenizer
for branch in ("main", "v2", "b" * 40):
    if not is_here("owner/tiny", branch):
        fetch("owner/tiny", revision=branch, total_bytes=0, report=lambda words: None)
    config = make_config({"llm_backbone": "owner/tiny", "environment.huggingface_branch": branch})
    model, _ = load_model(config, device="cpu")
    layers = check_backbone("owner/tiny", revision=branch).layers
    print(branch[:4], layers, len(model.model.layers), len(load_tokenizer(config)))
"""
OWN_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM
print("IT RAN")
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""
TRUSTS = """
import sys
from llm_studio.config import make_config
from llm_studio.errors import UserError
from llm_studio.modeling.loading import load_model, load_tokenizer
config = make_config({"llm_backbone": sys.argv[1], "environment.trust_remote_code": sys.argv[2] == "trusted"})
for load in (load_tokenizer, lambda config: load_model(config, device="cpu")):
    try:
        print("LOADED", type(load(config)).__name__)
    except UserError as error:
        print("REFUSED", error.fix)
"""


def run(program: str, cache: Path, *arguments: str, **variables: str) -> str:
    """What a process of its own prints, with the cache of the Hub in a folder of the test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environment = kept | {"HF_HOME": str(cache), **variables}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, timeout=120
    )
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


def test_the_branch_or_commit_that_is_set_is_the_one_that_is_fetched_described_and_loaded(tmp_path: Path) -> None:
    with running_hub() as hub:
        hub.add_folder("owner/tiny", make_backbone(tmp_path / "main"))
        other = make_backbone(tmp_path / "v2", layers=3)
        tokenizer = AutoTokenizer.from_pretrained(other)
        tokenizer.add_tokens(["<kite>"])
        tokenizer.save_pretrained(other)
        hub.add_folder("owner/tiny", other, branch="v2")
        found = run(LOADS, tmp_path / "cache", HF_ENDPOINT=hub.address)
    lines = [line.split() for line in found.splitlines()]
    tokens = len(tokenizer)
    expected = [["main", 2, 2, tokens - 1], ["v2", 3, 3, tokens], ["bbbb", 3, 3, tokens]]
    assert lines == [[str(one) for one in line] for line in expected]
    assert run(LOADS, tmp_path / "cache", HF_HUB_OFFLINE="1") == found


def test_code_of_a_backbone_runs_only_where_it_is_trusted(tmp_path: Path) -> None:
    folder = make_backbone(tmp_path / "own")
    (folder / "own.py").write_text(OWN_CODE)
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    changed = config | {"architectures": ["OwnModel"], "model_type": "own", "auto_map": own}
    (folder / "config.json").write_text(json.dumps(changed))
    refused = run(TRUSTS, tmp_path / "cache", str(folder), "untrusted")
    assert "IT RAN" not in refused
    assert "REFUSED" in refused and "turn on environment.trust_remote_code" in refused
    trusted = run(TRUSTS, tmp_path / "cache", str(folder), "trusted")
    assert "IT RAN" in trusted and trusted.count("LOADED") == 2
