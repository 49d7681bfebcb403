"""What an evaluation makes of a row: the record from which every metric is computed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """One row of the validation data under a model.

    output: the generated answer, None when this row was not among those that are generated. nll_nats: negative
    log-likelihood of the answers, summed over answer_tokens. loss_nats, loss_tokens: the same over all learned tokens.
    judged: a judge model's grade of the output in [0, 1], None where it gave none; judge_reason: its reason, or why
    there is no grade. Both None where nobody was asked.
    """

    row: int
    prompt: str
    target: str
    output: str | None
    nll_nats: float
    answer_tokens: int
    loss_nats: float
    loss_tokens: int
    judged: float | None = None
    judge_reason: str | None = None


@dataclass(frozen=True)
class Score:
    """A metric's value, None when no row allowed one; `signature` says how it was computed."""

    value: float | None
    signature: str = ""
    per_row: tuple[float | None, ...] = ()
