"""Layout "instruction": one row is one question and its answer, spread over columns (Alpaca, GSM8K)."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from llm_studio.config import DatasetSettings
from llm_studio.data.blocks import Block, column_of, joined, joined_cells, missing_or_empty
from llm_studio.data.column_names import ANSWER_NAMES, PROMPT_NAMES, SYSTEM_NAMES, named, plain, quoted
from llm_studio.data.types import Cells, Column, Conversation, Guess, Message, RowError

READS = ("system_column", "prompt_column", "answer_column")
"""The settings that name the columns it reads."""
NEEDS = (("answer_column",),)
"""Of each group of settings at least one must be chosen."""


def conversation(row: int, cells: Cells, settings: DatasetSettings) -> Conversation:
    """System, user and assistant message of a row; empty prompt columns leave no separator behind.

    Raises:
        RowError: the answer is missing or blank.
    """
    answer = cells.get(settings.answer_column)
    if answer is None:
        raise RowError(settings.answer_column, "the answer is missing")
    if not answer.strip():
        raise RowError(settings.answer_column, "the answer is empty")
    system = (cells.get(settings.system_column) or "") if settings.system_column else ""
    prompt = joined_cells(cells, settings.prompt_column, settings.prompt_column_separator)
    found = [Message("system", system)] if system.strip() else []
    found += [Message("user", prompt)] if prompt else []
    return Conversation(row, (*found, Message("assistant", answer, learned=True)))


def block(batch: pa.RecordBatch, settings: DatasetSettings) -> Block:
    """What `conversation` and `compared_text` say of all rows of a block, without a loop over rows."""
    answers = column_of(batch, settings.answer_column)
    faults = missing_or_empty(answers, settings.answer_column, "answer")
    parts = [column_of(batch, name) for name in settings.prompt_column]
    separator = settings.prompt_column_separator
    # White space counts as one blank when prompts are compared, and one blank is compared without a further pass.
    prompts = joined(parts, " " if separator.isspace() else separator, batch.num_rows)
    without = pc.equal(pc.binary_length(prompts), 0)
    if pc.any(without).as_py():
        whole = joined([column_of(batch, settings.system_column), answers], "\n", batch.num_rows)
        prompts = pc.if_else(without, whole, prompts)
    return Block(~(faults[0].mask | faults[1].mask), prompts, faults)


def guess(table: Sequence[Column], rows: Sequence[Cells]) -> Guess | None:
    """Takes the columns with familiar names, else the last text column as the answer and the others as the prompt."""
    names = [column.name for column in table if column.kind in ("text", "number")]
    answer, system = named(ANSWER_NAMES, table), named(SYSTEM_NAMES, table)
    prompts = tuple(name for name in names if plain(name) in PROMPT_NAMES and name != answer)
    if answer and prompts:
        reason = f"{quoted((*prompts, answer))} are familiar names for a prompt and its answer."
        certainty = 0.8
    else:
        texts = [column.name for column in table if column.kind == "text" and column.name != system]
        if not texts:
            return None
        answer = answer or next((name for name in reversed(texts) if name not in prompts), texts[-1])
        prompts = tuple(name for name in (prompts or texts) if name != answer)
        certainty = 0.3
        if prompts:
            reason = (
                f"No column has a familiar name, so “{answer}” is taken as the answer and {quoted(prompts)} as prompt."
            )
        else:
            reason = f"“{answer}” is the only column with text: the model learns to write such text, without a prompt."
    if system:
        reason += f" “{system}” holds the system text."
    settings: dict[str, object] = {
        "layout": "instruction",
        "prompt_column": prompts,
        "answer_column": answer,
        "system_column": system,
    }
    return Guess("instruction", settings, reason, certainty)
