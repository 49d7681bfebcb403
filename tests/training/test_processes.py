"""Two processes on the CPU take the very steps that one takes, go on exactly after a kill, and end together."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoTokenizer, MixtralConfig, MixtralForCausalLM

from llm_studio.config import ExperimentConfig, make_config, to_yaml
from llm_studio.errors import UserError
from llm_studio.modeling.loading import quiet
from llm_studio.training.processes import Processes
from llm_studio.worker.job_processes import choose_kind, whole_models
from tests.support.tiny import config_of, rows_of, run
from tests.support.tuned import make_backbone

LIMIT_SECONDS = 200
SCRIPT = Path(__file__).with_name("shared.py")
ROWS = 7  # three in a step of one row at once: in the last step of an epoch one process has none
STEP = {"training.batch_size": 1, "training.grad_accumulation": 3, "training.lora_dropout": 0.0}
CASES = {
    "ddp packed": ("ddp", True, {}),
    "ddp padded": ("ddp", False, {}),
    "fsdp packed": ("fsdp", True, {}),
    "fsdp padded": ("fsdp", False, {}),
    "fsdp in bf16": ("fsdp", True, {"architecture.backbone_dtype": "bfloat16"}),
    "fsdp all weights": ("fsdp", True, {"training.lora": False, "training.learning_rate": 1e-3}),
    "ddp in int8": ("ddp", True, {"architecture.backbone_dtype": "int8"}),
    "ddp checkpointing": ("ddp", True, {"architecture.gradient_checkpointing": True}),
    "fsdp checkpointing": ("fsdp", False, {"architecture.gradient_checkpointing": True}),
    "ddp experts": ("ddp", True, {"training.lora": False, "training.learning_rate": 1e-3}),
    "fsdp experts": ("fsdp", True, {"training.lora": False, "training.learning_rate": 1e-3}),
    "ddp in float16": ("ddp", True, {}),
    "fsdp in float16": ("fsdp", True, {}),
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


def case_of(backbone: Path, name: str) -> tuple[str, bool, ExperimentConfig, dict[str, Any]]:
    """kind, packed, config and further words of its plan."""
    kind, packed, changes = CASES[name]
    if "experts" in name:
        changes = changes | {"llm_backbone": str(experts_of(backbone))}
    others = {"autocast": "float16"} if "float16" in name else {}
    return kind, packed, config_of(backbone, **STEP, **changes), others


def experts_of(backbone: Path) -> Path:
    """A Mixtral with eight experts, of which two read a token: with a few short rows most get none."""
    folder = backbone.with_name("experts")
    if not folder.exists():
        config = MixtralConfig(
            vocab_size=AutoConfig.from_pretrained(backbone).vocab_size, hidden_size=32, intermediate_size=32,
            num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, num_local_experts=8,
            max_position_embeddings=256,
        )  # fmt: skip
        torch.manual_seed(1)
        MixtralForCausalLM(config).save_pretrained(folder)
        AutoTokenizer.from_pretrained(backbone).save_pretrained(folder)
    return folder


def plan_of(name: str, kind: str, packed: bool, config: ExperimentConfig, **others: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "packed": packed, "config": to_yaml(config), "rows": ROWS, **others}


@contextmanager
def two(folder: Path, plans: Sequence[dict[str, Any]]) -> Iterator[list["subprocess.Popen[str]"]]:
    """The script in two processes that find each other; none is left behind."""
    folder.mkdir(exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plans), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(2):
        environment = {
            **os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[2]),
        }  # fmt: skip
        command = [sys.executable, str(SCRIPT), str(folder)]
        with (folder / f"log-{rank}.txt").open("w") as log:
            output = subprocess.PIPE if rank == 0 else log
            started.append(subprocess.Popen(command, stdout=output, stderr=log, text=True, env=environment))
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def found(folder: Path, plans: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each of the two processes saw, by rank."""
    with two(folder, plans) as processes:
        for process in processes:
            process.communicate(timeout=LIMIT_SECONDS)
        logs = "\n".join((folder / f"log-{rank}.txt").read_text()[-3000:] for rank in range(2))
        assert [process.returncode for process in processes] == [0, 0], logs
    return [json.loads((folder / f"found-{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]


@pytest.fixture(scope="module")
def seen(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """All short trainings in one pair of processes, which take longer to start than to train."""
    plans = []
    for name in CASES:
        kind, packed, config, others = case_of(backbone, name)
        plans.append(plan_of(name, kind, packed, config, **others))
    with_dropout = config_of(backbone, **STEP | {"training.lora_dropout": 0.1})
    for kind in ("ddp", "fsdp"):
        plans.append(plan_of(f"{kind} whole", kind, True, with_dropout))
    plans.append(plan_of("first part", "fsdp", True, with_dropout, stop_after=random.randrange(1, 6)))
    plans.append(plan_of("second part", "fsdp", True, with_dropout, state="first part"))
    scores = {"prediction.max_length_inference": 6, "prediction.do_sample": True, "prediction.temperature": 1.0}
    for kind in ("ddp", "fsdp"):
        for most in (1, 3):
            config = config_of(
                backbone, **STEP, **scores, **{"training.epochs": 1, "prediction.max_generated_rows": most}
            )
            plans.append(plan_of(f"{kind} scores {most}", kind, True, config, most_generated=most))
    return found(tmp_path_factory.mktemp("two"), plans)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_the_losses_and_gradients_of_one(
    backbone: Path, tmp_path: Path, seen: list[dict[str, Any]], name: str
) -> None:
    _, packed, config, others = case_of(backbone, name)
    autocast = torch.float16 if others else None
    alone, _, _ = run(config, tmp_path, packed=packed, samples=rows_of(config, ROWS)[1], autocast=autocast)
    steps = seen[0][name]["steps"]
    rounds = 100 if "16" in name else 1
    assert [step for step, _, _ in steps] == [1, 2, 3, 4, 5, 6]
    assert [loss for _, loss, _ in steps] == pytest.approx([step.loss for step in alone], abs=1e-5 * rounds)
    assert [norm for *_, norm in steps] == pytest.approx([step.gradient_norm for step in alone], rel=1e-4 * rounds)


def test_a_process_without_a_row_takes_part_and_only_the_first_tells(seen: list[dict[str, Any]]) -> None:
    for name in CASES:
        learned = [one[name]["learned"] for one in seen]
        assert [sum(step) for step in zip(*learned, strict=True)] == pytest.approx([1.0, 1.0, 1.0])
        assert learned[0][0] > 0 and learned[1][0] > 0
        assert learned[1][2] == 0
        assert seen[1][name]["steps"] == []


def test_processes_that_share_a_model_stop_with_the_first_and_go_on_to_the_very_same_numbers(
    seen: list[dict[str, Any]],
) -> None:
    assert [one["first part"]["finished"] for one in seen] == [False, False]
    assert [one["second part"]["finished"] for one in seen] == [True, True]
    assert seen[0]["first part"]["steps"] + seen[0]["second part"]["steps"] == seen[0]["fsdp whole"]["steps"]


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_processes_killed_at_any_step_go_on_to_the_very_same_losses(
    backbone: Path, tmp_path: Path, seen: list[dict[str, Any]], kind: str
) -> None:
    changes = STEP | {"training.lora_dropout": 0.1, "training.checkpoint_minutes": 1e-6}
    plans = [plan_of("killed", kind, True, config_of(backbone, **changes))]
    wanted, told = random.randrange(2, 6), []
    with two(tmp_path, plans) as processes:
        assert processes[0].stdout is not None
        for line in processes[0].stdout:
            told.append(json.loads(line))
            if told[-1][0] == wanted:
                break
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
    rest = [step[:2] for step in found(tmp_path, plans)[0]["killed"]["steps"]]
    assert rest and rest[0][0] > 1
    assert dict(told) | dict(rest) == {step: loss for step, loss, _ in seen[0][f"{kind} whole"]["steps"]}


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
@pytest.mark.parametrize("most", [1, 3])
def test_processes_score_all_rows_together_in_their_order(seen: list[dict[str, Any]], kind: str, most: int) -> None:
    shares, in_step = seen[0][f"{kind} scores {most}"]["scored"]
    expected = seen[0][f"ddp scores {most}"]["scored"][0]
    assert seen[1][f"{kind} scores {most}"]["scored"] == [shares, in_step]
    for rows in (shares, in_step):
        assert [row for row, *_ in rows] == list(range(7))
        assert [nats for _, nats, _ in rows] == pytest.approx([nats for _, nats, _ in expected], abs=1e-4)
        assert [text is not None for *_, text in rows] == [place < most for place in range(7)]


def test_a_model_is_split_when_it_does_not_fit_one_device_and_the_reason_is_said(seen: list[dict[str, Any]]) -> None:
    small, large = (seen[0]["kinds"][size] for size in ("1000000", "1000000000000000"))
    assert (small[0], large[0]) == ("ddp", "fsdp")
    assert "0.0 GB of weights fit into" in small[1]
    assert "2000000.0 GB of weights do not fit into" in large[1]
    assert [one[0] for one in seen[1]["kinds"].values()] == ["ddp", "fsdp"]


def test_processes_take_turns_and_go_on_together(seen: list[dict[str, Any]]) -> None:
    (first, first_together), (second, second_together) = (one["turns"] for one in seen)
    assert first[1] <= second[0], "the second begins when the first has ended"
    assert min(first[2], second[2]) >= second[1]
    assert max(first_together[0], second_together[0]) < min(first_together[1], second_together[1]), "side by side"


def test_as_many_processes_load_at_once_as_the_machine_holds_whole_models() -> None:
    gpus = Processes(0, 4, "cuda:0", "fsdp")
    parameters = 70 * 10**9  # 140 GB in 16 bits, somewhat more while they are loaded
    for free, expected in ((100e9, 1), (200e9, 1), (400e9, 2), (2000e9, 4)):
        assert whole_models(make_config({}), parameters, gpus, free) == expected
    assert whole_models(make_config({"training.lora": False}), parameters, gpus, 400e9) == 1
    assert whole_models(make_config({}), 0, gpus, 1.0) == 4


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("architecture.backbone_dtype", "int4", "int4"),
        ("training.optimizer", "AdamW8bit", "AdamW8bit"),
        ("tokenizer.add_prompt_answer_tokens", True, "learning new tokens beside an adapter"),
    ],
)
def test_what_needs_a_whole_model_is_never_split(path: str, value: Any, words: str) -> None:
    two_here = Processes(0, 2, "cpu", "ddp")
    choice = choose_kind(make_config({path: value}), 10**15, two_here)
    assert (choice.value, choice.reason) == ("ddp", f"{words} needs a whole model")
    with pytest.raises(UserError, match=words):
        choose_kind(make_config({path: value, "environment.distributed": "fsdp"}), 1, two_here)
    assert choose_kind(make_config({"environment.distributed": "fsdp"}), 1, two_here).value == "fsdp"
    assert choose_kind(make_config({"environment.distributed": "ddp"}), 10**15, two_here).value == "ddp"
    assert choose_kind(make_config({}), 1, Processes()).value == "alone"
