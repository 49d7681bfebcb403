"""Tunes the starter backbone on each sample with a plain loop and prints the scores before and after.

It stands beside the studio's own trainer as a second opinion: same data, same adapter, none of our training code.
"""

import argparse
import csv
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sacrebleu
import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from llm_studio import starter

IGNORE_INDEX = -100
HELD_OUT = 100


@dataclass(frozen=True)
class Scores:
    """BLEU in [0, 100], share of exact answers, exp of the mean nats per answer token."""

    bleu: float
    exact: float
    perplexity: float


def pairs(sample: starter.Sample) -> list[tuple[str, str]]:
    """(prompt, answer) of every row."""
    text = sample.path.read_text(encoding="utf-8")
    if sample.path.suffix == ".csv":
        rows: list[dict[str, Any]] = list(csv.DictReader(text.splitlines()))
    else:
        rows = [json.loads(line) for line in text.splitlines()]
    if "messages" in rows[0]:
        return [(row["messages"][0]["content"], row["messages"][1]["content"]) for row in rows]
    return [("\n\n".join(row[column] for column in sample.prompt_columns), row[sample.answer_column]) for row in rows]


def prompt_ids(tokenizer: PreTrainedTokenizerFast, prompt: str) -> list[int]:
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
    )
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def collate(tokenizer: PreTrainedTokenizerFast, rows: list[tuple[str, str]]) -> tuple[torch.Tensor, torch.Tensor]:
    """input_ids and labels [B, T], padded on the right."""
    encoded = []
    for prompt, answer in rows:
        question = prompt_ids(tokenizer, prompt)
        reply = tokenizer(answer + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
        encoded.append((question + reply, [IGNORE_INDEX] * len(question) + reply))
    width = max(len(ids) for ids, _ in encoded)
    input_ids = torch.tensor([ids + [tokenizer.pad_token_id] * (width - len(ids)) for ids, _ in encoded])
    labels = torch.tensor([row + [IGNORE_INDEX] * (width - len(row)) for _, row in encoded])
    return input_ids, labels


@torch.no_grad()  # type: ignore[untyped-decorator]
def score(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: list[tuple[str, str]], show: int = 0
) -> Scores:
    """Greedy answers and likelihoods of the rows."""
    model.eval()
    input_ids, labels = collate(tokenizer, rows)
    loss = float(
        model(input_ids=input_ids, attention_mask=(input_ids != tokenizer.pad_token_id).long(), labels=labels).loss
    )
    tokenizer.padding_side = "left"
    batch = tokenizer.pad({"input_ids": [prompt_ids(tokenizer, prompt) for prompt, _ in rows]}, return_tensors="pt")
    made = model.generate(**batch, max_new_tokens=96, do_sample=False)[:, batch["input_ids"].shape[1] :]
    answers = [text.strip() for text in tokenizer.batch_decode(made, skip_special_tokens=True)]
    for (prompt, wanted), answer in list(zip(rows, answers, strict=True))[:show]:
        print(f"    {prompt!r}\n      wanted {wanted!r}\n      made   {answer!r}")
    wanted_all = [answer for _, answer in rows]
    exact = sum(a == b for a, b in zip(answers, wanted_all, strict=True)) / len(rows)
    return Scores(sacrebleu.corpus_bleu(answers, [wanted_all]).score, exact, float(torch.tensor(loss).exp()))


def load(folder: Path, bits: int) -> PreTrainedModel:
    """The backbone in 32 bits, or quantised to 8 or 4."""
    if bits == 32:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    quantised = BitsAndBytesConfig(load_in_8bit=bits == 8, load_in_4bit=bits == 4)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, quantization_config=quantised, device_map={"": "cpu"}
    )
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


def tune(
    sample: starter.Sample, folder: Path, *, rate: float, epochs: int, size: int, bits: int = 32, seed: int = 1
) -> None:
    """Print one line: before, after, seconds."""
    began, worked = time.monotonic(), time.process_time()
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = load(folder, bits)
    rows = pairs(sample)
    random.Random(seed).shuffle(rows)
    held, rows = rows[:HELD_OUT], rows[HELD_OUT:]
    before = score(model, tokenizer, held, show=2)
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear"))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    steps = epochs * (len(rows) // size)
    for step in range(steps):
        model.train()
        if step % (len(rows) // size) == 0:
            random.Random(seed + step).shuffle(rows)
        start = step % (len(rows) // size) * size
        input_ids, labels = collate(tokenizer, rows[start : start + size])
        mask = (input_ids != tokenizer.pad_token_id).long()
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=input_ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 10, (steps - step) / steps * 1.5)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    after = score(model, tokenizer, held, show=2)
    print(
        f"{sample.name}, {bits} bits: BLEU {before.bleu:.1f} -> {after.bleu:.1f}, "
        f"exact {before.exact:.2f} -> {after.exact:.2f}, "
        f"perplexity {before.perplexity:.2f} -> {after.perplexity:.2f}, {steps} steps, "
        f"{time.monotonic() - began:.0f} s, {time.process_time() - worked:.0f} s of all cores together",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=starter.BACKBONE)
    parser.add_argument("--rate", type=float, default=starter.RECOMMENDED["training.learning_rate"])
    parser.add_argument("--epochs", type=int, default=starter.RECOMMENDED["training.epochs"])
    parser.add_argument("--batch-size", type=int, default=starter.RECOMMENDED["training.batch_size"])
    parser.add_argument("--bits", type=int, choices=(32, 8, 4), default=32)
    parser.add_argument("--samples", nargs="*", default=[])
    chosen = parser.parse_args()
    for entry in starter.SAMPLES:
        if not chosen.samples or entry.name in chosen.samples:
            tune(
                entry,
                chosen.folder,
                rate=chosen.rate,
                epochs=chosen.epochs,
                size=chosen.batch_size,
                bits=chosen.bits,
            )
