"""The backbones that the benchmarks train: the starter, and a random Llama of 90 million parameters, made once."""

import json
import shutil
from pathlib import Path
from typing import Any

from llm_studio.starter import BACKBONE

CACHE = Path("results/cache")
VERSION = 1
"""Raised when the Llama below is made in another way."""
VOCABULARY = 8192
SEED = 90
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SKIPPED = "skipped: the folder shared/data is not there"


def gsm8k() -> list[tuple[str, str]]:
    """(question, answer) of every row of gsm8k_train.jsonl; an empty list when the file is not there."""
    path = DATA / "gsm8k_train.jsonl"
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(row["question"], row["answer"]) for row in rows]


def alpaca() -> list[tuple[str, str]]:
    """(instruction and input, output) of every row of alpaca_en_demo.json; an empty list when it is not there."""
    path = DATA / "alpaca_en_demo.json"
    if not path.is_file():
        return []
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [("\n".join(filter(None, (row["instruction"], row["input"]))), row["output"]) for row in rows]


DATASETS = {"gsm8k": gsm8k, "alpaca": alpaca}


def llama_90m() -> Path:
    """The folder of the random Llama, made when it is not there: 91 million weights in bfloat16, a byte-level BPE of
    8,192 tokens learned from both data sets, special tokens and chat template of the starter."""
    folder = CACHE / f"llama-90m-{VERSION}"
    if (folder / "config.json").is_file():
        return folder
    beside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    print("Making the Llama of 90 million parameters, once", flush=True)
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(str(beside))
    _weights(tokenizer).save_pretrained(str(beside))
    beside.rename(folder)
    return folder


def _tokenizer() -> Any:
    from transformers import AutoTokenizer

    texts = [text for rows in DATASETS.values() for row in rows() for text in row]
    starter = AutoTokenizer.from_pretrained(str(BACKBONE))
    made = starter.train_new_from_iterator(texts, VOCABULARY, show_progress=False)
    made.chat_template = starter.chat_template
    return made


def _weights(tokenizer: Any) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        num_key_value_heads=12,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config).to(torch.bfloat16)


BACKBONES = {"starter": lambda: BACKBONE, "90m": llama_90m}
