"""What is wrong or doubtful in a config as a whole, found before a start."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from llm_studio.config.device_names import is_cpu, places
from llm_studio.config.experiment import ExperimentConfig
from llm_studio.config.prediction import MOST_STOPS

ROUGH_ROWS = 50
QUANTISED = ("int8", "int4")
WHOLE_OPTIMIZERS = ("AdamW8bit", "PagedAdamW8bit", "Lion", "Adafactor", "Muon")
"""Optimisers that cannot work on a part of a weight, as a split model needs."""


@dataclass(frozen=True)
class Finding:
    """An error stops a start, a warning does not, a note only tells. `path` names the setting it is about."""

    level: Literal["error", "warning", "note"]
    path: str
    what: str
    fix: str = ""


def check(
    config: ExperimentConfig,
    *,
    train_rows: int,
    validation_rows: int,
    device: str,
    context_length: int | None = None,
) -> tuple[Finding, ...]:
    """Everything found, errors first; rows are those of the data set's split, device as `device_names` reads it."""
    order = ("error", "warning", "note")
    found = [*_rows(config, train_rows, validation_rows), *_memory(config, device), *_training(config, train_rows)]
    found += [*_prediction(config), *_length(config, context_length), *_devices(config, device)]
    return tuple(sorted(found, key=lambda finding: order.index(finding.level)))


def learned_rows(config: ExperimentConfig, train_rows: int, validation_rows: int) -> int:
    """Rows to learn from, of a split into so many."""
    return train_rows + (validation_rows if config.training.train_validation_data else 0)


def _rows(config: ExperimentConfig, train_rows: int, validation_rows: int) -> Iterator[Finding]:
    if train_rows < 1:
        yield Finding("error", "dataset_id", "The data set has no rows to learn from.", "Choose another data set.")
    if validation_rows < 1:
        yield Finding(
            "error", "dataset_id", "The data set holds out no rows, so nothing can be scored.", "Change its split."
        )
    elif validation_rows < ROUGH_ROWS:
        what = f"Only {validation_rows} rows are held out: scores will be rough."
        yield Finding("note", "dataset_id", what, f"Hold out {ROUGH_ROWS} rows or more.")
    rows = config.training.batch_size * config.training.grad_accumulation
    learned = learned_rows(config, train_rows, validation_rows)
    if 0 < learned < rows:
        what = f"A step takes {rows} rows, but there are only {learned} to learn from."
        yield Finding("warning", "training.batch_size", what, "Use a smaller batch size.")
    if config.training.train_validation_data:
        what = "The validation rows are learned too, so the scores are too good to be trusted."
        yield Finding("warning", "training.train_validation_data", what)


def _memory(config: ExperimentConfig, device: str) -> Iterator[Finding]:
    dtype = config.architecture.backbone_dtype
    if dtype in ("float16", "bfloat16") and not config.training.lora:
        what = f"All weights are trained in {dtype}, where small steps are rounded away."
        yield Finding("warning", "architecture.backbone_dtype", what, "Choose float32, or turn LoRA on.")
    if dtype in QUANTISED and not config.training.lora:
        what = f"A backbone in {dtype} can only be tuned with LoRA."
        yield Finding("error", "training.lora", what, "Turn LoRA on, or choose bfloat16 as number type.")
    if dtype in QUANTISED and config.architecture.pretrained_weights.strip():
        what = f"Further weights cannot be laid over a backbone in {dtype}."
        yield Finding("error", "architecture.backbone_dtype", what, "Choose bfloat16, float16 or float32.")
    yield from _adapter_start(config)
    if dtype == "float16" and is_cpu(device):
        what = "float16 is not computed well on a CPU."
        yield Finding("warning", "architecture.backbone_dtype", what, "Choose auto, bfloat16 or float32.")
    if dtype in QUANTISED and is_cpu(device):
        what = f"On a CPU {dtype} saves memory but no time."
        yield Finding("note", "architecture.backbone_dtype", what)
    if config.training.optimizer == "AdamW8bit" and is_cpu(device):
        what = "On a CPU AdamW8bit is slower than AdamW and saves little."
        yield Finding("note", "training.optimizer", what)
    if config.environment.trust_remote_code:
        what = "Code from the model's repository will run with your rights."
        yield Finding("warning", "environment.trust_remote_code", what, "Turn it off unless you trust its authors.")


def _adapter_start(config: ExperimentConfig) -> Iterator[Finding]:
    dtype, training = config.architecture.backbone_dtype, config.training
    path = "training.init_lora_weights"
    if not training.lora or training.init_lora_weights == "default":
        return
    if training.init_lora_weights == "pissa" and dtype in ("int8", "int4"):
        yield Finding("error", path, f"PiSSA needs the weights themselves, not {dtype}.", "Choose bfloat16, or LoftQ.")
    if training.init_lora_weights == "pissa" and training.use_dora:
        yield Finding("error", path, "PiSSA and DoRA cannot go together.", "Turn DoRA off.")
    if training.init_lora_weights == "loftq" and dtype != "int4":
        what = f"LoftQ makes up for what 4 bits lost, but the number type is {dtype}."
        yield Finding("error", path, what, "Choose int4, or another start of the adapter.")


def _training(config: ExperimentConfig, train_rows: int) -> Iterator[Finding]:
    training = config.training
    if training.epochs == 0:
        yield Finding("note", "training.epochs", "0 epochs: the backbone is scored, nothing is learned.")
    elif training.warmup_epochs >= training.epochs:
        what = f"The warm-up of {training.warmup_epochs:g} epochs is as long as the training."
        yield Finding("warning", "training.warmup_epochs", what, "Make it shorter than the epochs.")
    if not training.lora and training.learning_rate > 1e-4 and config.llm_backbone != "starter":
        what = f"A learning rate of {training.learning_rate:g} is high for training all weights."
        yield Finding("warning", "training.learning_rate", what, "Try 1e-5 to 5e-5.")
    if training.lora and training.learning_rate > 2e-3 and config.llm_backbone != "starter":
        what = f"A learning rate of {training.learning_rate:g} is high for LoRA on a large backbone."
        yield Finding("warning", "training.learning_rate", what, "Try 1e-4 to 5e-4.")
    if training.lora and training.lora_alpha > 8 * training.lora_r:
        what = f"LoRA alpha {training.lora_alpha} is large for rank {training.lora_r}."
        yield Finding("warning", "training.lora_alpha", what, "Twice the rank is usual.")


def _prediction(config: ExperimentConfig) -> Iterator[Finding]:
    prediction = config.prediction
    if prediction.metric == "gpt" and not prediction.metric_gpt_model.strip():
        fix = "Name one that the endpoint in Settings offers, or choose another metric."
        yield Finding("error", "prediction.metric_gpt_model", "The metric gpt needs a judge model.", fix)
    if (stops := len(prediction.stop_texts)) > MOST_STOPS:
        what = f"There are {stops} stop texts, and an answer can have {MOST_STOPS}."
        yield Finding("error", "prediction.stop_tokens", what, "Leave some out.")
    if prediction.do_sample and prediction.temperature == 0:
        what = "Sampling with temperature 0 cannot draw anything."
        yield Finding("error", "prediction.temperature", what, "Turn sampling off, or set a temperature above 0.")
    if prediction.min_length_inference > prediction.max_length_inference:
        what = f"The shortest answer ({prediction.min_length_inference}) is longer than the longest."
        yield Finding("error", "prediction.min_length_inference", what, "Make it smaller than the longest answer.")
    if prediction.do_sample:
        yield Finding("note", "prediction.do_sample", "Sampled answers make BLEU and exact match less steady.")
    if prediction.do_sample and prediction.num_beams > 1:
        what = "Beams with sampling draw by chance within each beam."
        yield Finding("note", "prediction.num_beams", what, "Turn one of them off for plain beam search or sampling.")
    if config.dataset.chat_template == "markers" and not config.dataset.add_eos_token_to_answer:
        what = "Answers have no end token, so the model does not learn to stop."
        yield Finding("warning", "dataset.add_eos_token_to_answer", what, "Turn it on.")
    if prediction.max_length_inference >= config.tokenizer.max_length:
        what = f"The longest answer ({prediction.max_length_inference}) is as long as a whole conversation may be."
        yield Finding("note", "prediction.max_length_inference", what)


def _length(config: ExperimentConfig, context_length: int | None) -> Iterator[Finding]:
    longest = config.tokenizer.max_length
    if context_length is not None and longest > context_length:
        what = f"The longest conversation ({longest} tokens) is beyond the backbone's context of {context_length}."
        yield Finding("error", "tokenizer.max_length", what, f"Set it to {context_length} or less.")


def _devices(config: ExperimentConfig, device: str) -> Iterator[Finding]:
    processes, how = len(places(device)), config.environment.distributed
    if processes == 1:
        if how != "auto":
            yield Finding("note", "environment.distributed", "There is one device, so nothing is shared.")
        return
    path, fix = "environment.distributed", "Choose auto or ddp"
    dtype, optimizer = config.architecture.backbone_dtype, config.training.optimizer
    if how == "fsdp" and dtype in QUANTISED:
        what = f"A backbone in {dtype} cannot be split over devices."
        yield Finding("error", path, what, f"{fix}, or bfloat16 as number type.")
    if how == "fsdp" and config.training.lora and config.training.init_lora_weights != "default":
        what = "An adapter that starts from the backbone's weights needs a whole model."
        yield Finding("error", path, what, f"{fix}, or the default start of the adapter.")
    if how == "fsdp" and config.training.lora and config.tokenizer.add_prompt_answer_tokens:
        what = "Learning new tokens beside an adapter needs a whole model."
        yield Finding("error", path, what, f"{fix}, or turn markers as tokens off.")
    if how == "fsdp" and optimizer in WHOLE_OPTIMIZERS:
        yield Finding("error", path, f"{optimizer} cannot follow a split model.", f"{fix}, or AdamW as optimiser.")
    rows = config.training.batch_size * config.training.grad_accumulation
    if rows < processes:
        what = f"A step takes {rows} rows, so some of the {processes} processes have nothing to learn from."
        yield Finding("warning", "training.batch_size", what, f"Take {processes} rows or more in a step.")
    if is_cpu(device):
        what = "Several processes on one CPU are no faster than one; this is for trying them out."
        yield Finding("note", "environment.gpus", what)
