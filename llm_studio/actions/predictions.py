"""Predictions of an experiment: what the backbone said before tuning and what the model says now, row by row."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as parquet

Order = Literal["row", "bleu", "exact_match", "judged", "nll", "gain"]
COLUMNS = ("row", "prompt", "target", "output", "nll_nats", "answer_tokens", "bleu", "exact_match")
OF_JUDGE = ("judged", "judge_reason")


@dataclass(frozen=True)
class Scored:
    """One row at one evaluation. bleu in [0, 100]; nll_nats is summed over answer_tokens; judged: a judge's grade in
    [0, 1] with its reason, or with why there is none. None: not measured."""

    row: int
    prompt: str
    target: str
    output: str
    nll_nats: float | None
    answer_tokens: int | None
    bleu: float | None
    exact_match: bool | None
    judged: float | None = None
    judge_reason: str | None = None

    @property
    def nats_per_token(self) -> float | None:
        """Mean negative log-likelihood of the expected answer, in nats per token."""
        return None if self.nll_nats is None or not self.answer_tokens else self.nll_nats / self.answer_tokens


@dataclass(frozen=True)
class Pair:
    """One row now and, when the backbone was scored before tuning, before."""

    now: Scored
    before: Scored | None

    @property
    def gain(self) -> float | None:
        """BLEU now less BLEU before."""
        if self.before is None or self.now.bleu is None or self.before.bleu is None:
            return None
        return self.now.bleu - self.before.bleu


@dataclass(frozen=True)
class PredictionPage:
    """A part of the rows. total: those that pass the filter, of all `rows`. steps: the evaluations, in order. judged:
    whether a judge was asked about some row."""

    pairs: tuple[Pair, ...]
    total: int
    rows: int
    right: int
    wrong: int
    step: int | None
    steps: tuple[int, ...]
    judged: bool = False


def evaluation_steps(folder: Path) -> tuple[int, ...]:
    """The steps of the evaluations whose predictions are kept; 0 is the untouched backbone."""
    return tuple(sorted(int(path.stem) for path in (folder / "predictions").glob("*.parquet") if path.stem.isdigit()))


def read_predictions(folder: Path, step: int) -> tuple[Scored, ...]:
    """The predictions of one evaluation, in order of their row; empty when there are none."""
    path = folder / "predictions" / f"{step:08d}.parquet"
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return _read(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=16)
def _read(path: Path, changed: int, size: int) -> tuple[Scored, ...]:
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    scored = [Scored(**{name: row.get(name) for name in (*COLUMNS, *OF_JUDGE)}) for row in rows]  # type: ignore[arg-type]
    return tuple(sorted(scored, key=lambda one: one.row))


def pairs_of(folder: Path, step: int) -> tuple[Pair, ...]:
    """The rows of an evaluation beside the same rows before tuning."""
    before = {one.row: one for one in read_predictions(folder, 0)} if step else {}
    return tuple(Pair(one, before.get(one.row)) for one in read_predictions(folder, step))


def predictions_page(
    folder: Path,
    *,
    step: int | None = None,
    offset: int = 0,
    limit: int = 50,
    order: Order = "row",
    descending: bool = False,
    only: Literal["", "right", "wrong"] = "",
    search: str = "",
) -> PredictionPage:
    """A page of predictions; step None: the newest evaluation."""
    steps = evaluation_steps(folder)
    if not steps:
        return PredictionPage((), 0, 0, 0, 0, None, ())
    chosen = step if step in steps else steps[-1]
    found: Sequence[Pair] = pairs_of(folder, chosen)
    rows = len(found)
    right = sum(1 for pair in found if pair.now.exact_match)
    wrong = sum(1 for pair in found if pair.now.exact_match is False)  # the rest got no generated answer
    judged = any(pair.now.judge_reason is not None for pair in found)
    if only:
        found = [pair for pair in found if pair.now.exact_match is (only == "right")]
    if search:
        wanted = search.casefold()
        found = [pair for pair in found if any(wanted in text.casefold() for text in _texts(pair))]
    found = sorted(found, key=lambda pair: _key(pair, order, descending))
    shown = tuple(found[offset : offset + limit])
    return PredictionPage(shown, len(found), rows, right, wrong, chosen, steps, judged)


def one_prediction(folder: Path, row: int, step: int | None = None) -> Pair | None:
    """One row of an evaluation (None: the newest)."""
    steps = evaluation_steps(folder)
    if not steps:
        return None
    return next((pair for pair in pairs_of(folder, step if step in steps else steps[-1]) if pair.now.row == row), None)


def _texts(pair: Pair) -> tuple[str, ...]:
    return (pair.now.prompt, pair.now.target, pair.now.output)


def _key(pair: Pair, order: Order, descending: bool) -> tuple[bool, float, int]:
    """Rows without a value come last, whichever way the rest is sorted."""
    values: dict[Order, float | None] = {
        "row": float(pair.now.row),
        "bleu": pair.now.bleu,
        "exact_match": None if pair.now.exact_match is None else float(pair.now.exact_match),
        "judged": pair.now.judged,
        "nll": pair.now.nats_per_token,
        "gain": pair.gain,
    }
    value = values[order]
    return (value is None, 0.0 if value is None else -value if descending else value, pair.now.row)
