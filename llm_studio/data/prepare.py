"""Turns read rows and settings into a data set: checks every row, splits, fingerprints, writes both to its folder."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from llm_studio.config import DatasetSettings
from llm_studio.data.checking import Scan, check_columns, scan
from llm_studio.data.dataset import READING, ROWS, SETTINGS, VALIDATION, Split, Table, conversations_of, edited
from llm_studio.data.fixes.recipe import Recipe
from llm_studio.data.reading import Reading
from llm_studio.data.reading.progress import Report
from llm_studio.data.refusals import named, no_usable_rows, not_read, refusal
from llm_studio.data.row_hashes import repeated_rows
from llm_studio.data.splitting.near_groups import near_groups
from llm_studio.data.splitting.split import ROUGH_BELOW, Codes, Rows, Use, by_column, sampled, split_rows
from llm_studio.data.splitting.stored_split import save_split, write_json
from llm_studio.data.splitting.strata import strata_of
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
    test_rows: int
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
    folder: Path, settings: DatasetSettings, *, leave_out: bool, report: Report = lambda share, words: None
) -> Prepared:
    """Checks all rows of a folder with rows.parquet, splits them and writes settings.json and the split.

    Raises:
        UserError: columns that do not fit, rows that cannot be used without the user's consent to `leave_out`, no
            usable rows, a split that is not possible.
        Cancelled: from `report`; nothing is written then.
    """
    parts = make_parts(folder, settings, None, report)
    unusable = [one for one in findings(parts) if one.severity == "leaves out"]
    if unusable and not leave_out:
        raise refusal(unusable, len(parts.checked.usable) + sum(one.count for one in parts.not_read))
    split = Split(parts.codes, parts.own, fingerprint(folder, settings, parts, leave_out=leave_out))
    report(1.0, "Writing the split")
    write_json(folder / SETTINGS, {"settings": settings.model_dump(mode="json"), "leave_out": leave_out})
    save_split(folder, split, repeated_rows=repeated_rows(Table(folder / ROWS), parts.checked.prompts))
    return Prepared(split, findings(parts))


@dataclass(frozen=True, eq=False)
class Parts:
    """Rows as checked, and what each is for; `validation` and `own` only with a validation file of the user's own.

    problems: what the user should know about rows that are nearly the same. not_read: rows of the files that did not
    fit.
    """

    checked: Scan
    validation: Scan | None
    codes: Codes
    own: Codes | None
    problems: tuple[Problem, ...] = ()
    not_read: tuple[Problem, ...] = ()

    @property
    def train_rows(self) -> Rows:
        """Rows to learn from."""
        return np.flatnonzero(self.codes == Use.TRAIN)

    @property
    def validation_rows(self) -> Rows:
        """Rows to score on; they count in the validation file where there is one."""
        return np.flatnonzero((self.codes if self.own is None else self.own) == Use.VALIDATION)


def make_parts(folder: Path, settings: DatasetSettings, limit: int | None, report: Report) -> Parts:
    """Checks the rows (the first `limit`) and says what each is for.

    Raises:
        UserError: as `prepare`.
    """
    recipe = Recipe.load(folder)
    table = edited(folder / ROWS, recipe)
    check_columns(settings, table.columns)
    own_file = has_own_validation(folder, settings)
    if own_file:
        check_validation_columns(settings, folder)
    dropped = recipe.dropped(table.row_count) if recipe.steps else None
    checked = scan(table, settings, limit=limit, tell=heard(report, table.row_count), dropped=dropped)
    usable = int(checked.usable.sum())
    if usable == 0:
        raise no_usable_rows(checked)
    report(None, "Choosing validation rows")
    unread = tuple(not_read(folder, (READING, *([VALIDATION_READING] if own_file else []))))
    if own_file:
        validation = scan(edited(folder / VALIDATION, recipe), settings, limit=limit)
        if not validation.usable.any():
            raise no_usable_rows(validation, "validation file, ")
        codes, own = checked.usable.astype(np.uint8), validation.usable * np.uint8(Use.VALIDATION)
        return Parts(checked, validation, *with_samples(codes, own, settings), (), unread)
    if usable < 2:
        raise UserError(
            "Only 1 row can be used; at least 2 are needed, one to learn from and one to hold out.",
            where="rows",
            fix="Import a file with more rows, or bring a validation file of your own.",
        )
    codes, problems = choose_rows(table, settings, checked, report, look_for_near=limit is None)
    return Parts(checked, None, *with_samples(codes, None, settings), problems, unread)


def heard(report: Report, rows: int) -> Callable[[int], None]:
    """Words about the check of rows."""
    return lambda done: report(0.9 * done / max(rows, 1), f"Checking every row: {done:,} of {rows:,}")


def choose_rows(
    table: Table, settings: DatasetSettings, checked: Scan, report: Report, *, look_for_near: bool
) -> tuple[Codes, tuple[Problem, ...]]:
    """[rows] what each row is for, by the strategy of the settings, and what to say about near-duplicates.

    look_for_near: a preview does not, since it takes longer than a click may.
    """
    count = len(checked.usable)
    if settings.validation_strategy == "column":
        check_chosen(settings.split_column, "Column with the part", table)
        values = [value for batch in table.batches([settings.split_column]) for value in batch.column(0).to_pylist()]
        return by_column(values[:count], checked.usable, settings.split_column), ()
    if settings.stratify == "column":
        check_chosen(settings.stratify_column, "Mixture of the column", table)
    strata = strata_of(table, settings, count)
    groups = [checked.groups]
    problems: tuple[Problem, ...] = ()
    if look_for_near:
        near, problems = near_groups(table, settings, checked.usable, report)
        groups += [near] if near is not None else []
    return split_rows(checked.prompts, checked.usable, settings, groups=groups, strata=strata), problems


def check_chosen(column: str, title: str, table: Table) -> None:
    """Whether a column that the split needs is chosen and there.

    Raises:
        UserError: it is not.
    """
    if column not in table.columns:
        what = f"The table has no column “{column}”." if column else f"{title}: no column is chosen."
        raise UserError(what, where=title, fix=f"Choose one of: {', '.join(table.columns)}.")


def with_samples(codes: Codes, own: Codes | None, settings: DatasetSettings) -> tuple[Codes, Codes | None]:
    """The same with only a share of the rows where the settings want that; the others are left out."""
    chosen = {name.lower() for name in settings.data_sample_choice}
    for number, use in enumerate((Use.TRAIN, Use.VALIDATION)):
        target = own if own is not None and use == Use.VALIDATION else codes
        rows = np.flatnonzero(target == use)
        if use.name.lower() in chosen:
            kept = sampled(rows, settings.data_sample, number)
            target[rows] = Use.LEFT_OUT
            target[kept] = use
    return codes, own


def check_validation_columns(settings: DatasetSettings, folder: Path) -> None:
    """The own validation file must have the columns that the settings name."""
    try:
        check_columns(settings, Table(folder / VALIDATION).columns)
    except UserError as error:
        name = Reading.load(folder / VALIDATION_READING).file
        raise UserError(error.what, where=f"validation file {name}", fix=error.fix) from None


def findings(parts: Parts) -> tuple[Problem, ...]:
    """Rows left out, and what the user should know about the split."""
    train_rows, validation_rows = parts.train_rows, parts.validation_rows
    found = [*parts.not_read, *parts.checked.problems, *named(parts.validation), *parts.problems]
    if parts.validation is not None:
        seen = np.isin(parts.checked.prompts[train_rows], parts.validation.prompts[validation_rows])
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
                "warning",
                f"Only {len(validation_rows):,} validation rows: scores will be rough (below {ROUGH_BELOW}).",
                "Hold out more rows, or import more data.",
            )
        )
    return tuple(found)


def fingerprint(folder: Path, settings: DatasetSettings, parts: Parts, *, leave_out: bool) -> str:
    """sha256 of all values, of the settings that say how they are used, and of the split; file names do not count."""
    own = parts.own is not None
    held = {
        "rows": Reading.load(folder / READING).rows_sha256,
        "validation": Reading.load(folder / VALIDATION_READING).rows_sha256 if own else "",
        "settings": settings.model_dump(mode="json", exclude={"train_dataframe", "validation_dataframe"}),
        "leave_out": leave_out,
        "recipe": Recipe.load(folder).fingerprint,
    }
    total = hashlib.sha256(json.dumps(held, sort_keys=True).encode())
    for codes in (parts.codes, parts.own):
        total.update(b"" if codes is None else codes.tobytes())
    return total.hexdigest()


def preview(folder: Path, settings: DatasetSettings, conversations: int = 5) -> Preview:
    """What `prepare` would do, from the first PREVIEW_ROWS rows; kept for the next call with the same settings.

    Raises:
        UserError: as `prepare`, but rows that cannot be used are problems of the preview.
    """
    written = ((folder / ROWS).stat().st_mtime_ns, Recipe.load(folder).fingerprint)
    return _preview(folder, written, settings, conversations)


@lru_cache(maxsize=64)
def _preview(folder: Path, _written: tuple[int, str], settings: DatasetSettings, conversations: int) -> Preview:
    table = edited(folder / ROWS, Recipe.load(folder))
    parts = make_parts(folder, settings, PREVIEW_ROWS, lambda share, words: None)
    shown = tuple(conversations_of(table, np.flatnonzero(parts.checked.usable)[:conversations].tolist(), settings))
    return Preview(
        conversations=shown,
        problems=findings(parts),
        row_count=table.row_count,
        checked_rows=len(parts.checked.usable),
        train_rows=len(parts.train_rows),
        validation_rows=len(parts.validation_rows),
        test_rows=int((parts.codes == Use.TEST).sum()),
        left_out=int((~parts.checked.usable & ~parts.checked.inner).sum()) + sum(one.count for one in parts.not_read),
    )
