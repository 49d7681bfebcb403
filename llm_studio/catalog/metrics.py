"""What is measured at each evaluation."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One metric; `function` ("module:function") takes predictions and gives a Score."""

    name: str
    title: str
    unit: str
    higher_is_better: bool
    function: str


METRICS: tuple[Metric, ...] = (
    Metric(
        "validation_loss",
        "Validation loss",
        "nats per token",
        False,
        "llm_studio.evaluation.metrics.validation_loss:validation_loss",
    ),
    Metric("perplexity", "Perplexity", "", False, "llm_studio.evaluation.metrics.perplexity:perplexity"),
    Metric("bleu", "BLEU", "0 to 100", True, "llm_studio.evaluation.metrics.bleu:bleu"),
    Metric("exact_match", "Exact match", "share", True, "llm_studio.evaluation.metrics.exact_match:exact_match"),
    Metric("gpt", "Judge", "0 to 1", True, "llm_studio.evaluation.metrics.judge:judge"),
)


def metric(name: str) -> Metric:
    """The metric of this name; KeyError when there is none."""
    return {entry.name: entry for entry in METRICS}[name]
