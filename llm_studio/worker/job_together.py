"""What the processes of one experiment do together around its training: score, and gather a split model to save it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from llm_studio.config import ExperimentConfig
from llm_studio.errors import Cancelled
from llm_studio.evaluation.scoring import Question
from llm_studio.evaluation.shares import gathered, share_of
from llm_studio.evaluation.types import Prediction
from llm_studio.modeling.generation import Fitting, most_rows
from llm_studio.training.processes import Processes
from llm_studio.training.sharing import bytes_of, parted_again, whole_on_cpu
from llm_studio.training.sharing import gathered as made_whole

Score = Callable[[Sequence[Question], ExperimentConfig, Callable[[], bool], bool], list[Prediction]]
"""score(questions, config, should_stop, in_step): predictions in the order of the questions. in_step: all processes do
the same, so that none may go on by itself with fewer rows when its memory runs out."""

ROOM = 0.7
"""Share of the free memory that a split model may take to be scored whole; answers need the rest."""

UNTIMED = (
    "The time limit of an answer is not kept: the model is split, and its processes must draw the same tokens. "
    "Shorten the longest answer instead."
)


def score_together(
    score: Score,
    model: Any,
    questions: Sequence[Question],
    config: ExperimentConfig,
    processes: Processes,
    should_stop: Callable[[], bool],
    room: float = ROOM,
    note: Callable[[str], None] = lambda words: None,
) -> list[Prediction]:
    """Predictions of all questions, in every process.

    Each scores its share with a whole model; a split one is made whole for it where the memory allows. Where it does
    not, it is gathered layer by layer in each forward, in which all processes must take part: they score all questions
    in step, with the same random numbers and without a limit of time for an answer.

    room: share of the free memory that a split model may take to be made whole. note: told what could not be kept.

    Raises:
        Cancelled: the user asked to stop; in all processes.
    """
    if processes.size == 1:
        return score(questions, config, should_stop, False)
    if processes.kind == "fsdp":
        if not processes.everywhere(bytes_of(model) <= processes.free_bytes() * room):
            torch.manual_seed(config.environment.seed)
            if config.prediction.max_time:
                note(UNTIMED)
            same = in_step(model, questions, config, processes)
            return score(questions, same, lambda: processes.agreed(should_stop())[0], True)
        with made_whole(model):
            return _in_shares(score, questions, config, processes, should_stop)
    return _in_shares(score, questions, config, processes, should_stop)


def in_step(
    model: Any, questions: Sequence[Question], config: ExperimentConfig, processes: Processes
) -> ExperimentConfig:
    """The config by which all processes draw the same tokens: clocks and free memory differ between them, so there is
    no time limit, and as many rows are answered at once as every one of them has memory for."""
    fits = Fitting(model, config, most_rows(model, config))
    rows = min(processes.gathered(fits(max(len(question.prompt) for question in questions))))
    return config.with_changes({"prediction.max_time": 0.0, "prediction.batch_size_inference": rows})


def _in_shares(
    score: Score,
    questions: Sequence[Question],
    config: ExperimentConfig,
    processes: Processes,
    should_stop: Callable[[], bool],
) -> list[Prediction]:
    most = config.prediction.max_generated_rows or len(questions)
    own = share_of(questions, processes.rank, processes.size)
    generated = max(1, len(range(processes.rank, most, processes.size)))  # 0 would mean all
    mine: list[Prediction] | None
    try:
        mine = score(own, config.with_changes({"prediction.max_generated_rows": generated}), should_stop, False)
    except Cancelled:
        mine = None
    parts = processes.gathered(mine)
    if any(part is None for part in parts):
        raise Cancelled
    return [
        prediction if row < most else replace(prediction, output=None) for row, prediction in enumerate(gathered(parts))
    ]


def whole_weights(model: Any, processes: Processes) -> dict[str, Any] | None:
    """The weights of a split model that a checkpoint holds, whole on the CPU of the first process; None when the model
    is whole. All processes must ask."""
    if processes.kind != "fsdp":
        return None
    parted_again(model)
    adapter = hasattr(model, "peft_config")
    named = model.named_parameters(remove_duplicate=not adapter)  # PEFT asks for shared ones by each of their names
    wanted = {name: weight for name, weight in named if weight.requires_grad or not adapter}
    found: dict[str, Any] = whole_on_cpu(wanted, keep=processes.first)
    return found
