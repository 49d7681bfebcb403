"""Turns read rows and settings into a data set: checks every row, splits, fingerprints, writes both to its folder."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from llm_studio.config import DatasetSettings
from llm_studio.data.checking import Scan, check_columns, scan
from llm_studio.data.dataset import READING, ROWS, SETTINGS, SPLIT, VALIDATION, Split, Table, conversations_of
from llm_studio.data.reading import Reading
from llm_studio.data.split import ROUGH_BELOW, Rows, sampled, split_rows
from llm_studio.data.types import Conversation, Problem
from llm_studio.errors import UserError

VALIDATION_READING = "validation_reading.json"
PREVIEW_ROWS = 20_000
"""A preview checks this many rows, so that it answers while the user is choosing; the import checks all of them."""


@dataclass(frozen=True)
class Preview:
    """What a data set with these settings would be; `checked_rows` of `row_count` rows were looked at."""

    conversations: tuple[Conversation, ...]
    problems: tuple[Problem, ...]
    row_count: int
    checked_rows: int
    train_rows: int
    validation_rows: int
    left_out: int


@dataclass(frozen=True)
class Prepared:
    """The outcome of `prepare`."""

    split: Split
    problems: tuple[Problem, ...]


def has_own_validation(folder: Path, settings: DatasetSettings) -> bool:
    """Whether the held-out rows come from a file of their own.

    Raises:
        UserError: the settings want such a file and there is none.
    """
    if settings.validation_strategy != "custom":
        return False
    if not (folder / VALIDATION).is_file():
        raise UserError(
            "The settings ask for a validation file of your own, but none was imported.",
            where="Validation strategy",
            fix="Choose automatic, or import again and add a validation file beside the data file.",
        )
    return True


def prepare(
    folder: Path,
    settings: DatasetSettings,
    *,
    leave_out: bool,
    tell: Callable[[int], None] = lambda rows: None,
) -> Prepared:
    """Checks all rows of a folder with rows.parquet and writes settings.json and split.json.

    Raises:
        UserError: columns that do not fit, rows that cannot be used without the user's consent to `leave_out`, no
            usable rows, a split that is not possible.
    """
    checked, validation, train_rows, validation_rows = parts(folder, settings, None, tell)
    unusable = [*checked.problems, *named(validation)]
    if unusable and not leave_out:
        raise refusal(unusable, len(checked.usable))
    own = validation is not None
    split = Split(
        tuple(train_rows.tolist()),
        tuple(validation_rows.tolist()),
        tuple(np.flatnonzero(~checked.usable).tolist()),
        own,
        fingerprint(folder, settings, own=own, leave_out=leave_out),
    )
    stored = {"settings": settings.model_dump(mode="json"), "leave_out": leave_out}
    written = {
        "train": split.train,
        "validation": split.validation,
        "left_out": split.left_out,
        "own_file": own,
        "fingerprint": split.fingerprint,
    }
    write_json(folder / SETTINGS, stored)
    write_json(folder / SPLIT, written)
    return Prepared(split, findings(checked, validation, train_rows, validation_rows))


def write_json(path: Path, value: object) -> None:
    """Replaces a file in one step."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    fresh.replace(path)


def parts(
    folder: Path, settings: DatasetSettings, limit: int | None, tell: Callable[[int], None] = lambda rows: None
) -> tuple[Scan, Scan | None, Rows, Rows]:
    """The scan of the rows, of the own validation file if there is one, and the rows of both parts."""
    table = Table(folder / ROWS)
    check_columns(settings, table.columns)
    own = has_own_validation(folder, settings)
    if own:
        check_validation_columns(settings, folder)
    checked = scan(table, settings, limit=limit, tell=tell)
    usable = int(checked.usable.sum())
    if usable == 0:
        raise no_usable_rows(checked)
    validation = scan(Table(folder / VALIDATION), settings, limit=limit) if own else None
    if validation is not None:
        train_rows, validation_rows = np.flatnonzero(checked.usable), np.flatnonzero(validation.usable)
        if len(validation_rows) == 0:
            raise no_usable_rows(validation, "validation file, ")
    elif usable < 2:
        raise UserError(
            "Only 1 row can be used; at least 2 are needed, one to learn from and one to hold out.",
            where="rows",
            fix="Import a file with more rows, or bring a validation file of your own.",
        )
    else:
        train_rows, validation_rows = split_rows(checked.prompts, checked.usable, settings)
    chosen = {name.lower() for name in settings.data_sample_choice}
    if "train" in chosen:
        train_rows = sampled(train_rows, settings.data_sample, 0)
    if "validation" in chosen:
        validation_rows = sampled(validation_rows, settings.data_sample, 1)
    return checked, validation, train_rows, validation_rows


def check_validation_columns(settings: DatasetSettings, folder: Path) -> None:
    """The own validation file must have the columns that the settings name."""
    try:
        check_columns(settings, Table(folder / VALIDATION).columns)
    except UserError as error:
        name = Reading.load(folder / VALIDATION_READING).file
        raise UserError(error.what, where=f"validation file {name}", fix=error.fix) from None


def named(validation: Scan | None) -> list[Problem]:
    """The problems of the own validation file, marked as such."""
    if validation is None:
        return []
    return [
        Problem(one.severity, f"validation file: {one.what}", one.fix, one.column, one.count, one.rows)
        for one in validation.problems
    ]


def row_list(problem: Problem) -> str:
    """The rows of a problem as people count them: "rows 3, 17 and 5 more"."""
    shown = ", ".join(f"{row + 1:,}" for row in problem.rows[:5])
    more = problem.count - min(len(problem.rows), 5)
    return f"row{'s' if problem.count > 1 else ''} {shown}" + (f" and {more:,} more" if more else "")


def refusal(problems: Sequence[Problem], rows: int) -> UserError:
    """The error for rows that cannot be used, as long as the user has not agreed to leave them out."""
    count = sum(problem.count for problem in problems)
    first = problems[0]
    return UserError(
        f"{count:,} of {rows:,} rows cannot be used: {first.what} in {row_list(first)}"
        + {1: ".", 2: "; and for another reason."}.get(len(problems), f"; and for {len(problems) - 1} other reasons."),
        where=f"column “{first.column}”, {row_list(first)}",
        fix="Agree to leave these rows out, choose other columns, or mend the file and import it again.",
    )


def no_usable_rows(checked: Scan, file: str = "") -> UserError:
    """The error for a table of which no row fits."""
    first = checked.problems[0]
    return UserError(
        f"None of the {len(checked.usable):,} rows can be used: {first.what} in {row_list(first)}.",
        where=f"{file}column “{first.column}”, {row_list(first)}",
        fix="Choose other columns or another layout.",
    )


def findings(checked: Scan, validation: Scan | None, train_rows: Rows, validation_rows: Rows) -> tuple[Problem, ...]:
    """Rows left out, and what the user should know about the split."""
    found = [*checked.problems, *named(validation)]
    if validation is not None:
        seen = np.isin(checked.prompts[train_rows], validation.prompts[validation_rows])
        if count := int(seen.sum()):
            found.append(
                Problem(
                    "warning",
                    "The prompt also stands in the validation file, so scores on it will look better than they are.",
                    "Remove these rows from the data file, or hold out rows of it automatically.",
                    count=count,
                    rows=tuple(train_rows[seen][:10].tolist()),
                )
            )
    if len(validation_rows) < ROUGH_BELOW:
        found.append(
            Problem(
                "note",
                f"Only {len(validation_rows):,} validation rows: scores will be rough (below {ROUGH_BELOW}).",
                "Hold out more rows, or import more data.",
            )
        )
    return tuple(found)


def fingerprint(folder: Path, settings: DatasetSettings, *, own: bool, leave_out: bool) -> str:
    """sha256 of all values, of the settings that say how they are used, and of the consent; file names do not count."""
    parts = {
        "rows": Reading.load(folder / READING).rows_sha256,
        "validation": Reading.load(folder / VALIDATION_READING).rows_sha256 if own else "",
        "settings": settings.model_dump(mode="json", exclude={"train_dataframe", "validation_dataframe"}),
        "leave_out": leave_out,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def preview(folder: Path, settings: DatasetSettings, conversations: int = 5) -> Preview:
    """What `prepare` would do, from the first PREVIEW_ROWS rows; kept for the next call with the same settings.

    Raises:
        UserError: as `prepare`, but rows that cannot be used are problems of the preview.
    """
    return _preview(folder, (folder / ROWS).stat().st_mtime_ns, settings, conversations)


@lru_cache(maxsize=64)
def _preview(folder: Path, _written: int, settings: DatasetSettings, conversations: int) -> Preview:
    table = Table(folder / ROWS)
    checked, validation, train_rows, validation_rows = parts(folder, settings, PREVIEW_ROWS)
    shown = tuple(conversations_of(table, np.flatnonzero(checked.usable)[:conversations].tolist(), settings))
    return Preview(
        conversations=shown,
        problems=findings(checked, validation, train_rows, validation_rows),
        row_count=table.row_count,
        checked_rows=len(checked.usable),
        train_rows=len(train_rows),
        validation_rows=len(validation_rows),
        left_out=int((~checked.usable).sum()),
    )
