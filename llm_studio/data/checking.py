"""Goes once through all rows: which can be used, why the others cannot, which have the same prompt or belong together.

Layouts with a check of their own for whole blocks (`Layout.block`) are checked by two threads, as Arrow, numpy and the
hash let each other work; the others row by row.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from llm_studio.config import DatasetSettings, all_settings
from llm_studio.data.blocks import Block, Fault, compared_text
from llm_studio.data.conversations import links_for
from llm_studio.data.dataset import Table
from llm_studio.data.layouts import Layout, layout_of
from llm_studio.data.links import Links
from llm_studio.data.normal_text import exact_hashes, hashes, normalised
from llm_studio.data.types import Message, Problem, RowError
from llm_studio.errors import UserError

EXAMPLE_ROWS = 10
DIFFERENT_REASONS = 20
THREADS = 2
__all__ = ["Scan", "check_columns", "normalised", "prompt_hash", "scan"]


@dataclass(frozen=True, eq=False)
class Scan:
    """What is known of every row, in the order of the table. All arrays are [rows].

    prompts: hash of the normalised prompt; equal prompts have equal hashes (0 where the row cannot be used). For
    threads that of the first row. usable: whether the row is a conversation. groups: rows with the same number, other
    than 0, stay on one side of the split. inner: rows that are no conversation by themselves because a longer thread
    holds them, or that the recipe drops; nothing is wrong with them. problems: why rows cannot be used, the most
    frequent reason first.
    """

    prompts: npt.NDArray[np.uint64]
    usable: npt.NDArray[np.bool_]
    problems: tuple[Problem, ...]
    groups: npt.NDArray[np.uint64]
    inner: npt.NDArray[np.bool_]


@dataclass
class Findings:
    """Faults so far, by column and reason."""

    found: dict[tuple[str, str], Problem] = field(default_factory=dict)

    def add(self, fault: Fault, mask: npt.NDArray[np.bool_], start: int) -> None:
        """Counts the rows of a block that begins at `start`; after DIFFERENT_REASONS reasons the rest is one more."""
        rows = np.flatnonzero(mask)
        if len(rows) == 0:
            return
        key = (fault.column, fault.reason)
        if key not in self.found and len(self.found) >= DIFFERENT_REASONS:
            key = (fault.column, "the row does not fit the layout for another reason")
        known = self.found.get(key, Problem("leaves out", key[1], fault.fix, column=key[0]))
        more = tuple((rows[: EXAMPLE_ROWS - len(known.rows)] + start).tolist())
        self.found[key] = replace(known, count=known.count + len(rows), rows=known.rows + more)

    def problems(self) -> tuple[Problem, ...]:
        """The most frequent one first."""
        return tuple(sorted(self.found.values(), key=lambda problem: -problem.count))


def check_columns(settings: DatasetSettings, names: tuple[str, ...]) -> None:
    """Whether the settings name columns that there are and that fit together.

    Raises:
        UserError: a needed column is not chosen, is not in the table, or is chosen twice.
    """
    layout = layout_of(settings)
    titles = {info.name: info.title for info in all_settings() if info.scope == "dataset"}
    for group in layout.needs:
        if not any(getattr(settings, name) for name in group):
            title = " or ".join(titles[name].lower() for name in group)
            where = titles[group[0]]
            raise UserError(f"No {title} is chosen.", where=where, fix=f"Choose one of: {', '.join(names)}.")
    chosen = layout.chosen(settings)
    for name in (*chosen, *group_column(settings)):
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"Did you mean “{near[0]}”? " if near else ""
            raise UserError(
                f"The table has no column “{name}”.", where="columns", fix=f"{hint}It has: {', '.join(names)}."
            )
    twice = next((name for name in chosen if chosen.count(name) > 1), None)
    if twice:
        raise UserError(
            f"The column “{twice}” is chosen twice.", where="columns", fix="Choose a different column for each."
        )


def group_column(settings: DatasetSettings) -> tuple[str, ...]:
    """The column whose values keep rows together; none when the held-out rows come from a file of their own."""
    used = settings.group_column if settings.validation_strategy == "automatic" else ""
    return (used,) if used else ()


@dataclass(frozen=True, eq=False)
class Checked:
    """A block with its hashes. prompts, groups: [rows]."""

    block: Block
    prompts: npt.NDArray[np.uint64]
    groups: npt.NDArray[np.uint64]


def scan(
    table: Table,
    settings: DatasetSettings,
    *,
    limit: int | None = None,
    tell: Callable[[int], None] = lambda rows: None,
    dropped: npt.NDArray[np.bool_] | None = None,
) -> Scan:
    """Reads all rows (or the first `limit`) block by block; `tell` hears how many are done and may raise Cancelled.

    dropped: [rows] rows that are not to be used; nothing is said about them.
    """
    layout = layout_of(settings)
    links = links_for(layout, table, settings)
    broken = links.broken if links else None
    found = Findings()
    kept: list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]] = []
    prompts: list[npt.NDArray[np.uint64]] = []
    groups: list[npt.NDArray[np.uint64]] = []
    start = 0
    for one in checked_blocks(table, settings, layout, limit):
        usable = one.block.usable
        inner = np.zeros(len(usable), dtype=np.bool_)
        counted = np.ones(len(usable), dtype=np.bool_)
        if links is not None and broken is not None:
            here = slice(start, start + len(usable))
            for fault in links.faults:
                found.add(fault, fault.mask[here], start)
            counted = links.leaves[here]
            inner = ~counted & ~broken[here]
            usable = usable & counted
        if dropped is not None:
            gone = dropped[start : start + len(usable)]
            usable, counted, inner = usable & ~gone, counted & ~gone, inner | gone
        for fault in one.block.faults:
            found.add(fault, fault.mask & counted, start)
        kept.append((usable, inner))
        prompts.append(one.prompts)
        groups.append(one.groups)
        start += len(usable)
        tell(start)
    usable, inner = (np.concatenate([pair[part] for pair in kept] or [np.zeros(0, np.bool_)]) for part in (0, 1))
    own_prompts, own_groups = (np.concatenate(parts or [np.zeros(0, np.uint64)]) for parts in (prompts, groups))
    if links is not None:
        own_prompts, own_groups = of_threads(links, own_prompts, own_groups, by_column=bool(group_column(settings)))
    return Scan(np.where(usable, own_prompts, np.uint64(0)), usable, found.problems(), own_groups, inner)


def of_threads(
    links: Links, prompts: npt.NDArray[np.uint64], groups: npt.NDArray[np.uint64], *, by_column: bool
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Prompts and groups of the first rows of the threads. A first row beyond the rows read stands for itself."""
    roots = links.roots[: len(prompts)]
    read = roots < len(prompts)
    inside = np.where(read, roots, 0)
    trees = links.trees[: len(prompts)]
    kept = np.where(read & (groups[inside] != 0), groups[inside], trees) if by_column else trees
    return np.where(read, prompts[inside], trees), kept


def checked_blocks(table: Table, settings: DatasetSettings, layout: Layout, limit: int | None) -> Iterator[Checked]:
    """All blocks in the order of the table; the next ones are worked on meanwhile, never more than a few."""
    by = group_column(settings)
    batches = limited(table.batches(tuple(dict.fromkeys((*layout.columns(settings), *by)))), limit)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="scan") as pool:
        waiting: deque[Future[Checked]] = deque()
        try:
            for batch in batches:
                waiting.append(pool.submit(check_block, batch, settings, layout, by))
                if len(waiting) > 2 * THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def limited(batches: Iterator[pa.RecordBatch], limit: int | None) -> Iterator[pa.RecordBatch]:
    """The blocks up to `limit` rows."""
    left = limit
    for batch in batches:
        yield batch if left is None else batch.slice(0, left)
        left = None if left is None else left - batch.num_rows
        if left is not None and left <= 0:
            return


def check_block(batch: pa.RecordBatch, settings: DatasetSettings, layout: Layout, by: Sequence[str]) -> Checked:
    """Checks one block, whatever the layout."""
    block = layout.block(batch, settings) if layout.block else row_by_row(batch, settings, layout)
    groups = exact_hashes(batch.column(by[0])) if by else np.zeros(batch.num_rows, np.uint64)
    return Checked(block, hashes(block.compared), groups)


def row_by_row(batch: pa.RecordBatch, settings: DatasetSettings, layout: Layout) -> Block:
    """`Layout.block` for a layout without one: asks `conversation` for each row."""
    assert layout.conversation is not None
    usable = np.zeros(batch.num_rows, dtype=np.bool_)
    texts: list[str] = []
    wrong: dict[tuple[str, str], list[int]] = {}
    for index, cells in enumerate(batch.to_pylist()):
        try:
            texts.append(compared_text(layout.conversation(index, cells, settings).messages))
            usable[index] = True
        except RowError as error:
            texts.append("")
            wrong.setdefault((error.column, error.reason), []).append(index)
    faults = []
    for (column, reason), rows in wrong.items():
        mask = np.zeros(batch.num_rows, dtype=np.bool_)
        mask[rows] = True
        faults.append(Fault(column, reason, mask))
    return Block(usable, pa.array(texts, pa.string()), tuple(faults))


def prompt_hash(messages: Sequence[Message]) -> int:
    """The hash that `scan` gives a conversation of a layout without threads."""
    return int(hashes(pa.array([compared_text(messages)], pa.string()))[0])
