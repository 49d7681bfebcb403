"""Trains the starter backbone from scratch: a curriculum from short copies to longer texts of the little world.

Copying sets in within a million tokens when the sequences are short and only what can be known is learned; with long
sequences, or with the loss on every token, it did not within ten million. About half an hour on two cores.
"""

import argparse
import queue
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llm_studio.starter.scripts import documents
from llm_studio.starter.scripts.train_tokenizer import CONTEXT, train

IGNORE_INDEX = -100
BATCH_TOKENS = 4096
PEAK_RATE = 2e-3
WARMUP_STEPS = 100
DECAY_SHARE = 0.35
ANY_TOKENS_SHARE = 0.1


@dataclass(frozen=True)
class Stage:
    """A part of the curriculum: row length in tokens, share of pure copying, length in millions of tokens."""

    length: int
    copy_share: float
    million_tokens: float


CURRICULUM = (
    Stage(32, 1.0, 2.5),
    Stage(64, 0.6, 3.0),
    Stage(128, 0.25, 8.5),
    Stage(256, 0.2, 2.2),
    Stage(512, 0.2, 0.8),
    Stage(64, 0.5, 0.8),
    Stage(128, 0.15, 7.0),
    Stage(256, 0.15, 1.5),
    Stage(512, 0.15, 0.6),
)


def build(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of about 3 million parameters; every width is a multiple of 64, so that it can be quantised."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=640,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def encode(tokenizer: PreTrainedTokenizerFast, document: documents.Document) -> tuple[list[int], list[int]]:
    """input_ids and labels of a document; pieces meet only where the tokenizer splits anyway."""
    ids: list[int] = []
    labels: list[int] = []
    for piece in document:
        part = tokenizer(piece.text, add_special_tokens=False)["input_ids"]
        ids += part
        labels += part if piece.learned else [IGNORE_INDEX] * len(part)
    return ids, labels


def any_tokens(tokenizer: PreTrainedTokenizerFast, rng: random.Random, length: int) -> tuple[list[int], list[int]]:
    """Random tokens of the whole vocabulary, then the same again, so that none of them is unknown to the model."""
    special = len(tokenizer.all_special_ids)
    words = [rng.randrange(special, len(tokenizer)) for _ in range(rng.randint(2, max(3, length // 3)))]
    user, answer = tokenizer.convert_tokens_to_ids(["<|user|>", "<|assistant|>"])
    reply = [*words, tokenizer.eos_token_id]
    before = [user, *words, tokenizer.eos_token_id, answer]
    return before + reply, [IGNORE_INDEX] * len(before) + reply


def batch(tokenizer: PreTrainedTokenizerFast, rng: random.Random, stage: Stage) -> tuple[torch.Tensor, torch.Tensor]:
    """input_ids and labels [B, T]; each row is filled with documents one after the other, the last one cut."""
    rows, targets = [], []
    for _ in range(BATCH_TOKENS // stage.length):
        ids: list[int] = []
        labels: list[int] = []
        while len(ids) < stage.length:
            if rng.random() < ANY_TOKENS_SHARE:
                more, wanted = any_tokens(tokenizer, rng, stage.length)
            else:
                more, wanted = encode(tokenizer, documents.document(rng, stage.length, stage.copy_share))
            if len(more) > stage.length - len(ids) and (ids or rng.random() < 0.9) and len(ids) > stage.length // 2:
                more, wanted = [tokenizer.pad_token_id] * stage.length, [IGNORE_INDEX] * stage.length
            ids += more
            labels += wanted
        rows.append(ids[: stage.length])
        targets.append(labels[: stage.length])
    return torch.tensor(rows), torch.tensor(targets)


def batches(folder: Path, seed: int, plan: list[Stage]) -> "queue.Queue[tuple[torch.Tensor, torch.Tensor]]":
    """The batches of the plan, in order, composed in a thread ahead of the training."""
    line: queue.Queue[tuple[torch.Tensor, torch.Tensor]] = queue.Queue(maxsize=8)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def fill() -> None:
        rng = random.Random(seed)
        for stage in plan:
            line.put(batch(tokenizer, rng, stage))

    threading.Thread(target=fill, daemon=True).start()
    return line


def rate(step: int, steps: int) -> float:
    """Learning rate: warm-up, constant, then linear to zero over the last part."""
    decay = int(steps * DECAY_SHARE)
    return PEAK_RATE * min(1.0, (step + 1) / WARMUP_STEPS, (steps - step) / decay)


def pretrain(folder: Path, *, scale: float = 1.0, seed: int = 7, done: int = 0) -> None:
    """Train tokenizer and backbone and save both into `folder`; `scale` shortens the curriculum for a trial.

    done: steps of an interrupted training whose saved state in `folder` is gone on from, with a fresh optimiser.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder) if done else train(folder)
    torch.manual_seed(seed)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32) if done else build(tokenizer)
    print(f"{model.num_parameters() / 1e6:.2f} million parameters", flush=True)
    plan = [stage for stage in CURRICULUM for _ in range(int(stage.million_tokens * scale * 1e6 / BATCH_TOKENS))]
    line = batches(folder, seed + done, plan[done:])
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    began = time.monotonic()
    running = right = seen = 0.0
    for step in range(done, len(plan)):
        input_ids, labels = line.get()
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model.model(input_ids=input_ids).last_hidden_state[:, :-1]
            wanted = labels[:, 1:]
            learned = wanted != IGNORE_INDEX
            logits = model.lm_head(hidden[learned]).float()
        loss = functional.cross_entropy(logits, wanted[learned])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate(step, len(plan)) * min(1.0, (step - done + 1) / WARMUP_STEPS)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running += loss.item()
        right += float((logits.argmax(-1) == wanted[learned]).float().mean())
        seen += 1
        if (step + 1) % 100 == 0:
            speed = (step + 1 - done) * BATCH_TOKENS / (time.monotonic() - began)
            print(
                f"step {step + 1}/{len(plan)} length {plan[step].length} loss {running / seen:.3f} "
                f"right {right / seen:.3f} {speed:,.0f} tokens/s",
                flush=True,
            )
            running = right = seen = 0.0
        if (step + 1) % 250 == 0:
            model.save_pretrained(folder)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.to(torch.bfloat16).save_pretrained(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--done", type=int, default=0, help="steps of an interrupted training to go on from")
    chosen = parser.parse_args()
    pretrain(chosen.folder, scale=chosen.scale, done=chosen.done)
