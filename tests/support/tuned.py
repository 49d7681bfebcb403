"""A tiny random backbone and experiments tuned from it, made in a second, for tests of what comes after tuning."""

import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from llm_studio.actions.datasets import import_dataset
from llm_studio.config import make_config, to_yaml
from llm_studio.starter import BACKBONE
from llm_studio.store import ExperimentRecord, Store

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
CONTEXT = 256


def make_backbone(folder: Path, *, chat_template: bool = True, context: int = CONTEXT, layers: int = 2) -> Path:
    """A Llama of 0.1 million parameters with the starter's tokenizer; the same weights every time."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES if chat_template else TOKENIZER_FILES[:2]:
        shutil.copy(BACKBONE / name, folder / name)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_experiment(
    store: Store, backbone: Path, *, name: str = "tuned", lora: bool = True, changes: dict[str, Any] | None = None
) -> ExperimentRecord:
    """A finished experiment with a checkpoint whose weights differ from the backbone's; nothing was trained."""
    datasets = store.datasets.list()
    dataset = datasets[0] if datasets else import_dataset(store, {"kind": "starter", "name": "orders_to_json"})
    settings = {
        "llm_backbone": str(backbone),
        "dataset_id": dataset.id,
        "experiment_name": name,
        "training.lora": lora,
        "architecture.backbone_dtype": "float32",
        **(changes or {}),
    }
    record = store.experiments.create(
        to_yaml(make_config(settings)),
        name=name,
        dataset_id=dataset.id,
        backbone=str(backbone),
        problem_type="causal_lm",
        device="cpu",
    )
    save_checkpoint(backbone, store.home.experiment(record.id) / "checkpoints" / "last", lora=lora)
    store.experiments.claim(record.id)
    store.experiments.finish(record.id, "finished")
    return store.experiments.get(record.id)


def save_checkpoint(backbone: Path, folder: Path, *, lora: bool) -> None:
    """Weights away from the backbone's by random amounts, and the tokenizer."""
    model = LlamaForCausalLM.from_pretrained(backbone)
    tokenizer = AutoTokenizer.from_pretrained(str(backbone))
    torch.manual_seed(2)
    if lora:
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear"))
    for parameter_name, parameter in model.named_parameters():
        if "lora_" in parameter_name or not lora:
            parameter.data += 0.3 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
