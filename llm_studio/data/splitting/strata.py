"""Which layer of the data a row belongs to, so that held-out rows have the same mixture as the others."""

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from llm_studio.config import DatasetSettings
from llm_studio.data.dataset import Table
from llm_studio.data.layouts import layout_of
from llm_studio.errors import UserError

LENGTH_LAYERS = 5
MOST_VALUES = 100

Layers = npt.NDArray[np.int64]


def strata_of(table: Table, settings: DatasetSettings, count: int) -> Layers | None:
    """[count] the layer of each of the first rows; None when the mixture is left to chance.

    Raises:
        UserError: the column has too many different values.
    """
    if settings.stratify == "length":
        return by_length(table, settings, count)
    if settings.stratify == "column":
        return by_values(table, (settings.stratify_column,), count)
    if settings.stratify == "automatic" and settings.layout == "labelled":
        try:
            return by_values(table, settings.label_column, count)
        except UserError:
            return None  # numbers, say: too many different ones to be labels
    return None


def by_length(table: Table, settings: DatasetSettings, count: int) -> Layers:
    """[count] fifths of the rows by the bytes of the columns that the layout reads, the shortest in layer 0."""
    columns = [name for name in layout_of(settings).columns(settings) if name in table.columns]
    sizes = np.zeros(count, dtype=np.int64)
    start = 0
    for batch in table.batches(columns):
        if start >= count:
            break
        here = sizes[start : start + batch.num_rows]
        for values in batch.columns:
            here += pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False)[: len(here)]
        start += batch.num_rows
    edges = np.quantile(sizes, np.arange(1, LENGTH_LAYERS) / LENGTH_LAYERS)
    return np.searchsorted(edges, sizes, side="right").astype(np.int64)


def by_values(table: Table, columns: tuple[str, ...], count: int) -> Layers:
    """[count] a number for each different value of the columns together.

    Raises:
        UserError: there are more than MOST_VALUES.
    """
    known: dict[tuple[str | None, ...], int] = {}
    layers = np.zeros(count, dtype=np.int64)
    start = 0
    for batch in table.batches(columns):
        for index, values in enumerate(zip(*(column.to_pylist() for column in batch.columns), strict=True)):
            if start + index >= count:
                break
            layers[start + index] = known.setdefault(values, len(known))
            if len(known) > MOST_VALUES:
                raise UserError(
                    f"{' and '.join(columns)} has more than {MOST_VALUES} different values, too many to mix alike.",
                    where="Mixture of the column",
                    fix="Choose a column with few values, such as a label, or mix by length.",
                )
        start += batch.num_rows
    return layers
