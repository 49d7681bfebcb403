"""Rows of one data set after those of another, as an import of its own: columns mapped, repeated rows counted."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from llm_studio.data.dataset import READING, ROWS, Dataset, open_dataset
from llm_studio.data.reading import Reading
from llm_studio.data.reading.progress import Report
from llm_studio.data.reading.sink import TableWriter
from llm_studio.data.row_hashes import row_hashes
from llm_studio.data.staging import Draft, staging_folder
from llm_studio.data.types import ColumnKind, Guess
from llm_studio.errors import UserError
from llm_studio.store import Home, JobRecord, Store

Columns = Mapping[str, str]
"""Column of the second data set to column of the first; a column that is not named is left out."""


def proposed(first: Dataset, second: Dataset) -> dict[str, str]:
    """Columns of the same use, then columns of the same name."""
    found: dict[str, str] = {}
    if first.settings.layout == second.settings.layout:
        one, other = first.settings.model_dump(), second.settings.model_dump()
        for name, value in other.items():
            if name.endswith("_column") and isinstance(value, str) and value and one.get(name):
                found[value] = str(one[name])
        found |= dict(zip(second.settings.prompt_column, first.settings.prompt_column, strict=False))
    taken = set(found.values())
    for name in second.columns:
        if name not in found and name in first.columns and name not in taken:
            found[name] = name
    return {name: target for name, target in found.items() if name in second.columns and target in first.columns}


def check_mapping(first: Dataset, second: Dataset, mapping: Columns) -> None:
    """Whether the columns fit together.

    Raises:
        UserError: nothing is mapped, or two columns go to one.
    """
    if not mapping:
        raise UserError(
            "No column of the second data set is mapped.", where="columns", fix="Say which column goes where."
        )
    targets = list(mapping.values())
    for name, target in mapping.items():
        if name not in second.columns or target not in first.columns:
            raise UserError(f"There is no column “{name}” or “{target}”.", where="columns", fix="Choose other columns.")
        if targets.count(target) > 1:
            raise UserError(
                f"Two columns go to “{target}”.", where="columns", fix="Give each column a place of its own."
            )


def renamed(batch: pa.RecordBatch, mapping: Columns) -> pa.Table:
    """The mapped columns of a block under their new names."""
    return pa.table({target: batch.column(name) for name, target in mapping.items()})


def merge(
    first: Dataset, second: Dataset, mapping: Columns, target: Path, names: tuple[str, str], report: Report
) -> Reading:
    """Writes the rows of both into `target`; the notes say how many rows of the second stand in the first already.

    Raises:
        UserError: as `check_mapping`.
    """
    check_mapping(first, second, mapping)
    writer = TableWriter(target)
    total = max(first.row_count + second.row_count, 1)
    kinds: list[dict[str, set[ColumnKind]]] = [
        {column.name: {column.kind} for column in first.column_facts() if column.kind != "empty"},
        {mapping[one.name]: {one.kind} for one in second.column_facts() if one.name in mapping and one.kind != "empty"},
    ]
    try:
        for batch in first.table.batches():
            writer.write(pa.table(batch), kinds[0])
            report(0.9 * writer.row_count / total, f"Merging: {writer.row_count:,} of {total:,} rows")
        for batch in second.table.batches(list(mapping)):
            writer.write(renamed(batch, mapping), kinds[1])
            report(0.9 * writer.row_count / total, f"Merging: {writer.row_count:,} of {total:,} rows")
        facts = writer.close()
    except BaseException:
        writer.discard()
        raise
    report(0.95, "Looking for rows that stand in both")
    seen = np.isin(row_hashes(second.table, list(mapping)), row_hashes(first.table, list(mapping.values())))
    again = int(seen.sum())
    same = f"{again:,} of the {second.row_count:,} rows of {names[1]} stand in {names[0]} too."
    notes = (
        f"Rows 1 to {first.row_count:,} are from {names[0]}, the others from {names[1]}.",
        *([same] if again else []),
    )
    size = target.stat().st_size
    return Reading(
        f"{names[0]} and {names[1]}", "Parquet", size, facts.columns, facts.row_count, facts.rows_sha256, notes
    )


def run(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, object]:
    """Makes the draft of an import. Params of the job: "first" and "second" (ids), "mapping"."""
    params = job.params
    records = [store.datasets.get(str(params[name])) for name in ("first", "second")]
    first, second = (open_dataset(home.dataset(record.id)) for record in records)
    names = (records[0].name, records[1].name)
    folder = staging_folder(home, job.id)
    folder.mkdir(parents=True, exist_ok=True)
    merge(first, second, dict(params["mapping"]), folder / ROWS, names, report).save(folder / READING)
    reason = f"The columns are used as in {names[0]}."
    settings = first.settings.model_dump(mode="json", exclude={"validation_dataframe", "train_dataframe"})
    if settings["validation_strategy"] == "custom":
        settings["validation_strategy"] = "automatic"
    settings["train_dataframe"] = f"{names[0]} and {names[1]}"
    guess = Guess(first.settings.layout, settings, reason, 1.0)
    Draft(settings["train_dataframe"][:80], f"merged from {names[0]} and {names[1]}", guess, settings).save(folder)
    return {"name": settings["train_dataframe"]}
