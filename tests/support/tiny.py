"""A tiny model, a few rows, and a training of one on the other."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from llm_studio.config import ExperimentConfig, make_config
from llm_studio.data.types import Conversation, Message
from llm_studio.modeling.adapters import make_trainable
from llm_studio.modeling.loading import load_model, load_tokenizer
from llm_studio.modeling.quantising import QUANTISED
from llm_studio.tokens.making import make_template
from llm_studio.tokens.sample import IGNORE_INDEX, Sample
from llm_studio.tokens.template import Template
from llm_studio.training.events import Event, Listener, StepDone
from llm_studio.training.trainer import Trainer

ROWS = 12
WORDS = ("red kite", "blue cup " * 3, "one", "seven green mugs in Oslo", "x", "Anna " * 6)


def config_of(backbone: Path, **changes: Any) -> ExperimentConfig:
    """In float32 on the CPU, two rows a step, two epochs."""
    settings = {
        "llm_backbone": str(backbone),
        "architecture.backbone_dtype": "float32",
        "environment.mixed_precision": False,
        "training.batch_size": 2,
        "training.epochs": 2,
        "training.learning_rate": 5e-3,
        "training.lora_dropout": 0.1,
    }
    return make_config(settings | changes)


def rows_of(config: ExperimentConfig, rows: int = ROWS) -> tuple[Template, list[Sample]]:
    """Short conversations of different lengths."""
    template = make_template(load_tokenizer(config), config)
    said = [
        (Message("user", f"Say {row}"), Message("assistant", WORDS[row % 6] + str(row), True)) for row in range(rows)
    ]
    return template, [template.encode(Conversation(row, messages)) for row, messages in enumerate(said)]


def model_of(config: ExperimentConfig) -> Any:
    """The backbone with its adapter, always the same."""
    set_seed(config.environment.seed)
    model, dtype = load_model(config, device="cpu", trains=True)
    return make_trainable(model, config, quantised=dtype.value in QUANTISED).model


def trainer_of(
    config: ExperimentConfig,
    folder: Path,
    *,
    listen: Listener = lambda event: None,
    model: Any = None,
    samples: Sequence[Sample] | None = None,
    **arguments: Any,
) -> Trainer:
    """A trainer on the tiny rows, or on other ones."""
    template, rows = rows_of(config)
    settings = {"device": "cpu", "pad_id": template.pad_id, "autocast": None} | arguments
    chosen = rows if samples is None else samples
    return Trainer(model or model_of(config), chosen, config, folder=folder, listen=listen, **settings)


def run(
    config: ExperimentConfig,
    folder: Path,
    *,
    stop_after: int | None = None,
    listener: Callable[[Event], bool | None] | None = None,
    **arguments: Any,
) -> tuple[list[StepDone], Any, bool]:
    """The steps told, the model, and whether it came to its end."""
    steps: list[StepDone] = []

    def listen(event: Event) -> bool | None:
        if isinstance(event, StepDone):
            steps.append(event)
        return listener(event) if listener else None

    arguments["should_stop"] = lambda: stop_after is not None and len(steps) >= stop_after
    trainer = trainer_of(config, folder, listen=listen, **arguments)
    finished = trainer.run()
    return steps, trainer.model, finished


def plain_loss(model: Any, samples: Sequence[Sample], *, per_row: bool = False) -> torch.Tensor:
    """Nats over the learned tokens, one unpadded row at a time: their mean, or the mean of the rows' means."""
    sums, counts = [], []
    for sample in samples:
        ids, labels = torch.tensor([sample.input_ids]), torch.tensor([sample.labels])
        logits = model(input_ids=ids).logits
        sums.append(
            torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:], ignore_index=IGNORE_INDEX, reduction="sum")
        )
        counts.append(int((labels[0, 1:] != IGNORE_INDEX).sum()))
    if per_row:
        return torch.stack([nats / count for nats, count in zip(sums, counts, strict=True)]).mean()
    return torch.stack(sums).sum() / sum(counts)
