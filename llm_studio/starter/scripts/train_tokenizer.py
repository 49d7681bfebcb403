"""Trains the byte-level tokenizer of the starter backbone: words, digits and spaces are tokens of their own.

A space is never part of a word's token, so a name is the same token after a space, a quote or a line break: what the
model copies is one token, whatever stands around it.
"""

import json
import random
import sys
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from llm_studio.starter.scripts import documents, world

VOCABULARY = 1536
CONTEXT = 2048
SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
SPLIT = r"\p{L}+|\p{N}| |[^\p{L}\p{N} ]+"
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def corpus(count: int, seed: int) -> list[str]:
    """Text of the little world, and enough made-up words to have tokens for pieces of unknown ones."""
    rng = random.Random(seed)
    texts = ["".join(piece.text for piece in documents.document(rng, 128, 0.3)) for _ in range(count)]
    for special in SPECIAL:
        texts = [text.replace(special, " ") for text in texts]
    texts += [" ".join(documents.WORDS)] * 40
    texts += [world.note(rng).polite for _ in range(count // 10)]
    texts += [
        f'{{"customer":"{o.customer}","city":"{o.city}","quantity":{o.quantity}}}'
        for o in (world.order(rng) for _ in range(count // 10))
    ]
    return texts


def train(folder: Path, *, count: int = 30_000, seed: int = 7) -> PreTrainedTokenizerFast:
    """Train and save; any text round-trips, since every byte is a token and nothing is normalised."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(count, seed), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    fast.add_special_tokens({"additional_special_tokens": ["<|system|>", "<|user|>", "<|assistant|>"]})
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    config = {
        "additional_special_tokens": ["<|system|>", "<|user|>", "<|assistant|>"],
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|end|>",
        "model_max_length": CONTEXT,
        "pad_token": "<|pad|>",
        "padding_side": "left",
        "tokenizer_class": "PreTrainedTokenizerFast",  # the name that transformers 4 knows too
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return fast


if __name__ == "__main__":
    train(Path(sys.argv[1]))
