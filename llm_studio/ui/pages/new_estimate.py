"""The estimate on the page of a new experiment: arithmetic from what is known of text, backbone and device."""

import os

import psutil

from llm_studio.actions.devices import devices
from llm_studio.actions.seeing import Seen, count_lengths
from llm_studio.config import BackboneFacts, Estimate, ExperimentConfig, Finding, estimate
from llm_studio.config.checks import learned_rows
from llm_studio.config.device_names import devices_in, is_cpu
from llm_studio.data.statistics import load as load_statistics
from llm_studio.store import DatasetRecord
from llm_studio.ui import words
from llm_studio.ui.page import Context

BYTES_PER_TOKEN = 4
TEMPLATE_TOKENS = 12  # what a chat template adds to one exchange


def memory_of(device: str) -> int:
    """Bytes of memory of a device, of several GPUs those of the smallest; 0 when it is not known."""
    if is_cpu(device):
        return int(psutil.virtual_memory().total)
    return min((one.memory_bytes or 0 for one in devices() if one.name in devices_in(device)), default=0)


def counted_tokens(
    ctx: Context, config: ExperimentConfig, facts: BackboneFacts | None, dataset: DatasetRecord | None
) -> Seen | None:
    """Token lengths with this backbone, counted by a job; None while it would have to be downloaded first."""
    if facts is None or dataset is None or facts.source == "hub":
        return None
    return count_lengths(ctx.store, dataset, config)


def estimated(
    ctx: Context,
    config: ExperimentConfig,
    facts: BackboneFacts,
    dataset: DatasetRecord,
    device: str,
    memory_bytes: int,
    counted: Seen | None,
) -> Estimate:
    """Memory and time, from the lengths that were counted with this backbone, else from what is known of the text."""
    statistics = load_statistics(ctx.home.dataset(dataset.id))
    if counted is not None and counted.lengths is not None and len(counted.lengths):
        tokens = float(counted.lengths.of_part("train").total.mean())
    elif statistics is not None:
        tokens = statistics.conversation_tokens.mean + TEMPLATE_TOKENS
    else:
        tokens = dataset.size_bytes / max(1, dataset.row_count) / BYTES_PER_TOKEN + TEMPLATE_TOKENS
    return estimate(
        config,
        facts=facts,
        train_rows=learned_rows(config, dataset.train_rows, dataset.validation_rows),
        validation_rows=dataset.validation_rows,
        mean_tokens=min(tokens, config.tokenizer.max_length),
        device=device,
        device_memory_bytes=memory_bytes or None,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    )


def findings(expected: Estimate | None, memory: int) -> tuple[Finding, ...]:
    """A warning when more memory is estimated than there is."""
    if expected is None or not memory or expected.memory_bytes <= memory:
        return ()
    what = f"About {words.size(expected.memory_bytes)} of memory may be needed, but there are {words.size(memory)}."
    fix = "Choose int8 or int4 as number type, a smaller batch, or a smaller backbone."
    return (Finding("warning", "architecture.backbone_dtype", what, fix),)
