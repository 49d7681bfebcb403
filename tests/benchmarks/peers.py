"""TRL's SFTTrainer as a contestant: the same rows as token ids and labels, the same LoRA from the same seed."""

import time
from pathlib import Path

from datasets import Dataset
from transformers import AutoTokenizer, set_seed
from trl import SFTConfig, SFTTrainer
from trl.trainer.utils import create_model_from_path

from llm_studio.config import make_config
from llm_studio.modeling.adapters import lora_config
from llm_studio.tokens.stored import StoredSamples
from tests.benchmarks.contestant import Ready, Spec


def ready(spec: Spec, rows: Path, folder: Path) -> Ready:
    """The backbone is loaded as TRL loads it; what shapes the result is set as ours is, the rest is `arguments`."""
    config = make_config(spec.settings)
    training = config.training
    assert training.schedule == "Linear" and not training.warmup_epochs and not training.min_learning_rate_ratio
    set_seed(config.environment.seed)
    model = create_model_from_path(spec.backbone)
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(folder),
            use_cpu=True,  # bf16, which is its default, is refused here without it
            learning_rate=training.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=0,
            weight_decay=training.weight_decay,
            max_grad_norm=training.gradient_clip,
            num_train_epochs=training.epochs,
            seed=config.environment.seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **spec.arguments,
        ),
        train_dataset=Dataset.from_list(
            [{"input_ids": list(one.input_ids), "labels": list(one.labels)} for one in StoredSamples(rows)]
        ),
        processing_class=AutoTokenizer.from_pretrained(spec.backbone),
        peft_config=lora_config(model, config),
    )

    def train() -> float:
        began = time.perf_counter()
        trainer.train()
        return time.perf_counter() - began

    return Ready(trainer.model, train)
