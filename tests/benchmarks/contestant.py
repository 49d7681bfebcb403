"""One contestant of the training benchmark, in a process of its own: trains when it is told to, and tells the time.

Run as `python -m tests.benchmarks.contestant SPEC.json`. It reads one order a line (a JSON object) and answers each
with one. What libraries print goes to standard error.
"""

import gc
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llm_studio.modeling.heap import give_back, keep_few_kernels
from llm_studio.modeling.threads import share_cores

IGNORED = -100


@dataclass(frozen=True)
class Spec:
    """What is to be trained and how.

    peer: "ours" or "trl". settings: paths of our settings, which TRL's LoRA is taken from too. arguments: of SFTConfig.
    rows, warm_up, held_out: files of tokenised rows, the same for every contestant.
    """

    peer: str
    backbone: str
    rows: str
    warm_up: str
    held_out: str
    settings: dict[str, Any]
    arguments: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """For the process of the contestant."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


@dataclass(frozen=True)
class Ready:
    """A model that stands at the start, and what trains it over its rows and gives the seconds that took."""

    model: Any
    train: Callable[[], float]


def main() -> None:
    """Answers orders: {"do": "train", "on": "rows" or "warm_up"}, {"do": "score"}."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    spec = Spec(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    share_cores()  # for every contestant: where others use the cores too, it would decide all
    if spec.peer == "ours":
        keep_few_kernels()
        from tests.benchmarks.engine import ready
    else:
        from tests.benchmarks.peers import ready
    print(json.dumps({"ready": spec.peer}), file=answers)
    trained: Any = None
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "train":
            trained = None
            with tempfile.TemporaryDirectory() as folder:
                one = ready(spec, Path(getattr(spec, order["on"])), Path(folder))
                began = time.process_time()
                answer = {"seconds": one.train(), "processor_seconds": time.process_time() - began}
            trained = one.model
            del one
            gc.collect()
            give_back()  # a waiting contestant is not to fill the memory of the others
        else:
            answer = {"loss": held_out_loss(spec, trained), "before": held_out_loss(spec, None)}
        print(json.dumps(answer | {"peak_gb": peak_gb()}), file=answers)


def held_out_loss(spec: Spec, trained: Any) -> float:
    """Nats per learned token of the held-out rows by the plain formula: float32, a row at a time, no padding.

    trained: the adapter is taken from it; None is the backbone as it is.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from llm_studio.config import make_config
    from llm_studio.modeling.adapters import make_trainable
    from llm_studio.tokens.stored import StoredSamples

    model = AutoModelForCausalLM.from_pretrained(spec.backbone, dtype=torch.float32)
    if trained is not None:
        model = make_trainable(model, make_config(spec.settings), quantised=False).model
        adapter = {name: weight.detach() for name, weight in trained.named_parameters() if weight.requires_grad}
        expected = {name for name, weight in model.named_parameters() if weight.requires_grad}
        assert expected == set(adapter), "other weights were trained than those of the LoRA"
        model.load_state_dict(adapter, strict=False)
    model.eval()
    nats, tokens = [], 0
    with torch.inference_mode():
        for sample in StoredSamples(Path(spec.held_out)):
            labels = torch.tensor(sample.labels)[1:]
            logits = model(input_ids=torch.tensor([sample.input_ids])).logits[0, :-1]
            nats.append(torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item())
            tokens += int((labels != IGNORED).sum())
    return math.fsum(nats) / tokens


def peak_gb() -> float:
    """Highest resident memory of this process so far, in GB, where Linux counts it; else 0."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9


if __name__ == "__main__":
    main()
