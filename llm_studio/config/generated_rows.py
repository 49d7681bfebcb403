"""How many rows get a generated answer at each evaluation: so many that evaluations stay a tenth of the training.

Answers are what costs in an evaluation. The number is taken from a few, so that small differences between two
measurements do not change it: experiments on the same rows can then be compared, and scores of the untouched backbone
are used again.
"""

from dataclasses import dataclass

from llm_studio.config.experiment import ExperimentConfig

LADDER = (20, 50, 100, 200, 500)
SHARE = 0.1
"""Of the training's time, for all evaluations together."""
LEAST_SECONDS = 10.0
"""For all evaluations together, where a tenth of the training is less: answers of a handful of rows tell little."""


@dataclass(frozen=True)
class Costs:
    """training_seconds: of all steps. evaluations: during and after them. likelihood_seconds: the perplexity of all
    rows, at one evaluation. answer_seconds: one answer."""

    training_seconds: float
    evaluations: int
    likelihood_seconds: float
    answer_seconds: float

    def scoring_seconds(self, rows: int) -> float:
        """All evaluations, with so many answers each."""
        return self.evaluations * (self.likelihood_seconds + rows * self.answer_seconds)

    def allows(self, rows: int) -> bool:
        """Whether so many answers stay within the share."""
        return self.scoring_seconds(rows) <= max(SHARE * self.training_seconds, LEAST_SECONDS)


def generated_rows(config: ExperimentConfig, validation_rows: int, costs: Costs) -> int:
    """What is set, or chosen where nothing is: the most of `LADDER` that `costs` allows, else the fewest."""
    wanted = config.prediction.max_generated_rows
    if not wanted:
        steps = [min(rows, validation_rows) for rows in LADDER]
        wanted = max((rows for rows in steps if costs.allows(rows)), default=steps[0])
    return min(wanted, validation_rows)


def generated_words(rows: int, validation_rows: int, *, chosen: bool, costs: Costs | None) -> str:
    """Which rows get an answer and what it costs, in a sentence or two. chosen: not set by the user. costs: None where
    nothing is known of them."""
    which = f"The first {rows:,} of" if rows < validation_rows else "All"
    rest = f"{validation_rows:,} validation rows get a generated answer at each evaluation, always the same ones"
    words = f"{which} {rest}"
    if not chosen or costs is None:
        return f"{words}{', as set' if not chosen else ', as before'}."
    spent = costs.scoring_seconds(rows)
    if not costs.allows(rows):
        return (
            f"{words}. That is the fewest, and evaluations still take about {percent(spent, costs)} of the training: "
            "evaluate less often or shorten the longest answer."
        )
    if spent > SHARE * costs.training_seconds:
        return f"{words}: so evaluations take about {spent:.0f} s in all."
    return f"{words}: so evaluations take about {percent(spent, costs)} of the training."


def percent(seconds: float, costs: Costs) -> str:
    """ "8 %" of the training's time."""
    return f"{100 * seconds / max(1e-9, costs.training_seconds):.0f} %"
