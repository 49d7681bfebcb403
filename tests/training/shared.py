"""A few short trainings in a process that is one of two: writes what it saw as JSON.

`python shared.py FOLDER`, started twice as torchrun does. FOLDER/plan.json lists the trainings: name, kind, packed,
config and rows; autocast: "float16" or nothing; state: the folder of their states when it is not of their name;
stop_after: the step after which the
first process, and it alone, is asked to stop; most_generated: score the model instead of training it. The first prints
[step, loss] after every step.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import torch

from llm_studio.config import ExperimentConfig, from_yaml
from llm_studio.data.types import Message
from llm_studio.evaluation.scoring import Question, score_rows
from llm_studio.evaluation.types import Prediction
from llm_studio.modeling.loading import quiet
from llm_studio.training.events import StepDone
from llm_studio.training.processes import Processes, joined, leave
from llm_studio.worker.job_processes import choose_kind
from llm_studio.worker.job_together import score_together
from tests.support.tiny import rows_of, trainer_of


def train(folder: Path, plan: dict[str, Any], processes: Processes) -> dict[str, Any]:
    """The steps told, and the share of the first three steps that this process learns."""
    steps: list[StepDone] = []

    def listen(event: Any) -> None:
        if isinstance(event, StepDone):
            steps.append(event)
            print(json.dumps([event.step, event.loss]), flush=True)

    config = from_yaml(plan["config"]).config
    trainer = trainer_of(
        config,
        folder / plan.get("state", plan["name"]),
        listen=listen,
        samples=rows_of(config, plan["rows"])[1],
        packed=plan["packed"],
        autocast=torch.float16 if plan.get("autocast") == "float16" else None,
        processes=processes.sharing(plan["kind"]),
        should_stop=lambda: len(steps) >= plan.get("stop_after", 1_000_000),
    )
    learned = [float(sum(batch.weights.sum() for batch in trainer.feed[step].batches)) for step in range(3)]
    finished = trainer.run()
    if "most_generated" in plan:
        return {"scored": [scored(trainer.model, config, processes.sharing(plan["kind"]), room) for room in (0.7, 0.0)]}
    told = [[step.step, step.loss, step.gradient_norm] for step in steps]
    return {"steps": told, "learned": learned, "finished": finished}


def scored(model: Any, config: ExperimentConfig, processes: Processes, room: float) -> list[list[Any]]:
    """Predictions of seven rows, of which some get an answer. room 0: a split model is not made whole for it."""
    template, samples = rows_of(config, 7)
    asked = tuple(template.prompt_ids([Message("user", "Say 1")]))
    questions = [Question(sample, asked[: 4 + sample.row], "", "") for sample in samples]

    def score(
        some: Sequence[Question], settings: ExperimentConfig, should_stop: Callable[[], bool], in_step: bool
    ) -> list[Prediction]:
        return score_rows(model, template, some, settings, should_stop=should_stop, in_step=in_step)

    found = score_together(score, model, questions, config, processes, lambda: False, room=room)
    return [[one.row, one.nll_nats, one.output] for one in found]


def turns(processes: Processes) -> list[list[float]]:
    """For one and for two processes at a time: when this one's turn began, when it ended, and when all went on."""
    times = []
    for at_once in (1, 2):
        processes.wait()
        with processes.in_turns(at_once):
            began = time.monotonic()
            time.sleep(0.2)
            ended = time.monotonic()
        times.append([began, ended, time.monotonic()])
    return times


def main() -> None:
    torch.set_num_threads(1)
    quiet()
    folder = Path(sys.argv[1])
    processes = joined("cpu")
    found: dict[str, Any] = {
        plan["name"]: train(folder, plan, processes)
        for plan in json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    }
    found["turns"] = turns(processes)
    config = ExperimentConfig()
    found["kinds"] = {str(size): list(astuple(choose_kind(config, size, processes))) for size in (10**6, 10**15)}
    (folder / f"found-{processes.rank}.json").write_text(json.dumps(found), encoding="utf-8")
    leave()


if __name__ == "__main__":
    main()
