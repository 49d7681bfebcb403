"""What trains in this benchmark: our trainer, and TRL's SFTTrainer at its settings; each gives tokens and seconds."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from llm_studio.config import make_config
from llm_studio.modeling.adapters import make_trainable
from llm_studio.modeling.kernels import prepare
from llm_studio.tokens.sample import Sample
from llm_studio.training.events import Event, Note
from llm_studio.training.trainer import Trainer
from tests.benchmarks.gpu.device import now
from tests.benchmarks.gpu.rows import packs
from tests.benchmarks.gpu.shapes import LORA_R, Shape, learned_tokens, make_model

WARM_STEPS = 3


@dataclass(frozen=True)
class Trained:
    """The measured steps. lengths: tokens of each row, without padding. notes: what was chosen."""

    lengths: list[int]
    learned: int
    seconds: float
    notes: list[str]


Contestant = Callable[[Shape, str, Sequence[Sample], int], Trained]
"""(shape, device, rows, steps) -> the measured steps, after `WARM_STEPS` others."""


def ours(dtype: str, **changes: Any) -> Contestant:
    """Our trainer on packs of whole rows, one pack a step. changes: of settings."""

    def train(shape: Shape, device: str, rows: Sequence[Sample], steps: int) -> Trained:
        filled = packs(rows, shape.longest)[: WARM_STEPS + steps]
        settings = {
            "training.batch_size": max(len(pack) for pack in filled),
            "training.lora_r": LORA_R,
            "training.lora_alpha": 2 * LORA_R,
            "training.lora_dropout": 0.0,
            "tokenizer.max_length": shape.longest,
        }
        config = make_config(settings | changes)
        model = make_model(shape, device, dtype)
        notes = prepare(model, config.training.kernels, torch.device(device), mixed_precision=True)
        model = make_trainable(model, config, quantised=dtype != "bfloat16").model
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(
                model, list(rows), config, folder=Path(folder), device=device, pad_id=0, autocast=torch.bfloat16,
                listen=no_changes, packed=True,
            )  # fmt: skip
            for pack in filled[:WARM_STEPS]:
                trainer.step_on(pack)
            began = now(device)
            for pack in filled[WARM_STEPS:]:
                trainer.step_on(pack)
            seconds = now(device) - began
        measured = [row for pack in filled[WARM_STEPS:] for row in pack]
        lengths = [len(row.input_ids) for row in measured]
        return Trained(lengths, learned_tokens(measured), seconds, notes + trainer.forward.notes)

    return train


def no_changes(event: Event) -> None:
    """A trainer that changes its micro-batches or starts to compute activations twice would not be what was asked."""
    if isinstance(event, Note):
        raise RuntimeError(event.text)


def trl(*, packing: bool, batch: int, checkpointing: bool) -> Contestant:
    """TRL's SFTTrainer with Liger's kernels on a GPU. packing: rows share a sequence; without a package of
    FlashAttention they see each other then."""

    def train(shape: Shape, device: str, rows: Sequence[Sample], steps: int) -> Trained:
        from datasets import Dataset
        from peft import LoraConfig
        from trl import SFTConfig, SFTTrainer

        fast = device.startswith("cuda")
        liger = fast and find_spec("liger_kernel") is not None
        data = Dataset.from_dict(
            {"input_ids": [list(row.input_ids) for row in rows], "labels": [list(row.labels) for row in rows]}
        )
        adapter = LoraConfig(
            task_type="CAUSAL_LM", r=LORA_R, lora_alpha=2 * LORA_R, lora_dropout=0.0, target_modules="all-linear"
        )
        with tempfile.TemporaryDirectory() as folder:
            arguments = SFTConfig(
                output_dir=folder, max_steps=WARM_STEPS + steps, per_device_train_batch_size=batch, packing=packing,
                max_length=shape.longest, gradient_checkpointing=checkpointing, use_liger_kernel=liger, bf16=fast,
                use_cpu=not fast, learning_rate=2e-4, lr_scheduler_type="cosine", report_to="none",
                save_strategy="no", logging_strategy="no", disable_tqdm=True,
            )  # fmt: skip
            trainer = SFTTrainer(
                make_model(shape, device, "bfloat16"), arguments, train_dataset=data, processing_class=word_tokenizer(),
                peft_config=adapter,
            )  # fmt: skip
            batches, clock = counted(trainer), Clock(device)
            trainer.add_callback(clock.callback())
            trainer.train()
        measured = batches[WARM_STEPS : WARM_STEPS + steps]
        lengths = [length for lengths, _ in measured for length in lengths]
        settings = f"batch {batch}, packing {packing}, gradient checkpointing {checkpointing}"
        note = f"TRL {'with' if liger else 'without'} Liger, {settings}."
        return Trained(lengths, sum(learned for _, learned in measured), clock.seconds, [note])

    return train


class Clock:
    """Seconds between the end of the last warm step and the end of training."""

    def __init__(self, device: str) -> None:
        self._device, self._began, self.seconds = device, 0.0, 0.0

    def callback(self) -> Any:
        """For transformers' Trainer."""
        from transformers import TrainerCallback

        clock = self

        class Watch(TrainerCallback):
            def on_step_end(self, arguments: Any, state: Any, control: Any, **others: Any) -> None:
                if state.global_step == WARM_STEPS:
                    clock._began = now(clock._device)
                elif state.global_step == state.max_steps:
                    clock.seconds = now(clock._device) - clock._began

        return Watch()


def counted(trainer: Any) -> list[tuple[list[int], int]]:
    """(lengths of the rows, learned tokens) of each batch that the trainer's collator will make, in order."""
    made: list[tuple[list[int], int]] = []
    collate = trainer.data_collator

    def counting(examples: list[dict[str, Any]]) -> Any:
        batch = collate(examples)
        lengths = [length for one in examples for length in one.get("seq_lengths") or [len(one["input_ids"])]]
        made.append((lengths, int((batch["labels"] != -100).sum())))
        return batch

    trainer.data_collator = counting
    return made


def word_tokenizer() -> Any:
    """A tokenizer for rows that are tokens already: TRL wants one."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="<unk>")),
        pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
    )  # fmt: skip
