"""Causal language modelling: a conversation in, the next answer out."""

from llm_studio.problem_types.problem_type import ProblemType

CAUSAL_LM = ProblemType(
    name="causal_lm",
    title="Causal language modelling",
    formats=("instruction", "messages"),
    losses=("TokenAveragedCrossEntropy",),
    metrics=("perplexity", "bleu", "exact_match", "validation_loss", "gpt"),
)
