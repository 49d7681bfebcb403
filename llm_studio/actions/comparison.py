"""Compares experiments: settings that differ, scores side by side, rows won and lost."""

import functools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from llm_studio.actions.experiments import config_text
from llm_studio.actions.predictions import Scored, evaluation_steps, read_predictions
from llm_studio.config import settings_by_path
from llm_studio.errors import UserError
from llm_studio.store import ExperimentRecord, Store

MOST = 8  # as many as there are colours
RESAMPLES = 1000
IGNORED = ("experiment_name",)
LOWER_IS_BETTER = ("validation_loss", "perplexity")
METRICS = ("validation_loss", "perplexity", "bleu", "exact_match", "gpt")


@dataclass(frozen=True)
class SettingRow:
    """A setting and its value in each experiment, in their order; None where the config does not name it."""

    path: str
    title: str
    values: tuple[Any, ...]

    @property
    def differs(self) -> bool:
        """Whether the experiments do not agree."""
        return any(value != self.values[0] for value in self.values[1:])


@dataclass(frozen=True)
class ScoreRow:
    """A metric and its value in each experiment. best: indices of those with the best value."""

    metric: str
    values: tuple[float | None, ...]
    best: tuple[int, ...]


@dataclass(frozen=True)
class Duel:
    """Two experiments on the rows that both answered, by BLEU of the row.

    won: rows where the second is better. mean: of BLEU second less first; low and high: the 95 % interval of that mean
    (percentile bootstrap over rows, Efron 1979); None below 10 rows.
    """

    first: str
    second: str
    rows: int
    won: int
    lost: int
    tied: int
    mean: float
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """The result in words."""
        if self.low is None or self.high is None:
            return "too few rows to tell"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no clear difference"


@dataclass(frozen=True)
class Comparison:
    """Experiments in the order asked for, and how they differ."""

    records: tuple[ExperimentRecord, ...]
    settings: tuple[SettingRow, ...]
    scores: tuple[ScoreRow, ...]
    duels: tuple[Duel, ...]
    notes: tuple[str, ...]


def compare(store: Store, ids: Sequence[str]) -> Comparison:
    """Compare two to eight experiments; each further one is set against the first.

    Raises:
        UserError: one is not there, or there are too many.
    """
    ids = list(dict.fromkeys(ids))
    if len(ids) > MOST:
        raise UserError(f"{len(ids)} experiments are too many for one chart.", fix=f"Choose at most {MOST}.")
    records = tuple(store.experiments.get(one) for one in ids)
    settings = [settings_of(store, one) for one in ids]
    return Comparison(
        records=records,
        settings=setting_rows(settings),
        scores=score_rows(records),
        duels=tuple(found for other in records[1:] if (found := duel(store, records[0], other)) is not None),
        notes=notes_on(records, settings),
    )


def settings_of(store: Store, experiment_id: str) -> dict[str, Any]:
    """Every setting of an experiment by path, as its file has them; a setting of another version stays."""
    return dict(_parsed(config_text(store, experiment_id)))


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> dict[str, Any]:
    document = yaml.safe_load(text) or {}
    found: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": part for inner, part in value.items()}
        else:
            found[str(name)] = value
    return found


def setting_rows(configs: Sequence[Mapping[str, Any]]) -> tuple[SettingRow, ...]:
    """The settings in the order of the form, those unknown to this version last."""
    known = settings_by_path()
    named = {path for config in configs for path in config} - set(IGNORED)
    order = [path for path in known if path in named] + sorted(named - set(known))
    return tuple(
        SettingRow(
            path,
            known[path].title if path in known else path,
            tuple(config.get(path) for config in configs),
        )
        for path in order
    )


def score_rows(records: Sequence[ExperimentRecord]) -> tuple[ScoreRow, ...]:
    """The scores of the kept weights: those of the best checkpoint, else of the last evaluation."""
    rows = []
    for metric in METRICS:
        values = tuple(kept_scores(record).get(metric) for record in records)
        known = [value for value in values if value is not None]
        if known:
            top = min(known) if metric in LOWER_IS_BETTER else max(known)
            best = tuple(index for index, value in enumerate(values) if value == top) if len(known) > 1 else ()
            rows.append(ScoreRow(metric, values, best))
    return tuple(rows)


def kept_scores(record: ExperimentRecord) -> dict[str, Any]:
    """The scores that belong to the weights one gets: of the best checkpoint where there is one, else the last."""
    return record.scores.get("best") or record.scores.get("last") or {}


def notes_on(records: Sequence[ExperimentRecord], settings: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What makes the scores hard to compare."""
    notes = []
    if len({record.dataset_fingerprint for record in records}) > 1:
        notes.append("They were scored on different rows, so their scores cannot be compared directly.")
    judges = {
        tuple(one.get(f"prediction.metric_gpt_{part}") for part in ("model", "template"))
        for record, one in zip(records, settings, strict=True)
        if kept_scores(record).get("gpt") is not None
    }
    if len(judges) > 1:
        notes.append(
            "Their answers were graded by different judge models or prompts, so their grades cannot be compared."
        )
    return tuple(notes)


def duel(store: Store, first: ExperimentRecord, second: ExperimentRecord) -> Duel | None:
    """The two on the rows that both answered; None when there are none, or the rows are not the same ones."""
    if first.dataset_fingerprint != second.dataset_fingerprint:
        return None
    one, other = ({scored.row: scored for scored in kept_predictions(store, record)} for record in (first, second))
    differences = [
        round(found - before, 6)
        for row in sorted(one.keys() & other.keys())
        if (before := one[row].bleu) is not None
        and (found := other[row].bleu) is not None
        and one[row].target == other[row].target
    ]
    if not differences:
        return None
    low, high = interval(tuple(differences)) if len(differences) >= 10 else (None, None)
    return Duel(
        first=first.id,
        second=second.id,
        rows=len(differences),
        won=sum(1 for value in differences if value > 0),
        lost=sum(1 for value in differences if value < 0),
        tied=sum(1 for value in differences if value == 0),
        mean=sum(differences) / len(differences),
        low=low,
        high=high,
    )


def kept_predictions(store: Store, record: ExperimentRecord) -> tuple[Scored, ...]:
    """The predictions of the evaluation whose scores are shown."""
    folder = store.home.experiment(record.id)
    steps = [step for step in evaluation_steps(folder) if step > 0]
    if not steps:
        return ()
    wanted = kept_scores(record).get("step")
    return read_predictions(folder, int(wanted) if wanted in steps else steps[-1])


@functools.lru_cache(maxsize=64)
def interval(values: tuple[float, ...]) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the mean; the same for the same values."""
    chance = random.Random(0)
    size = len(values)
    means = sorted(sum(chance.choices(values, k=size)) / size for _ in range(RESAMPLES))
    return means[round(0.025 * RESAMPLES)], means[round(0.975 * RESAMPLES) - 1]
