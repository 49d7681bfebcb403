"""Layout "instruction": one row is one question and its answer, spread over columns (Alpaca, GSM8K)."""

from collections.abc import Sequence

from llm_studio.config import DatasetSettings
from llm_studio.data.types import Cells, Column, Guess, Message, RowError

ANSWER_NAMES = ("output", "answer", "response", "completion", "assistant", "chosen", "target", "reply", "solution")
PROMPT_NAMES = ("instruction", "prompt", "question", "input", "user", "query", "context", "problem", "story", "text")
SYSTEM_NAMES = ("system", "system_prompt", "system_message")


def columns(settings: DatasetSettings) -> tuple[str, ...]:
    """The columns that `messages` reads; raises nothing, a name that is not set is left out."""
    names = (settings.system_column, *settings.prompt_column, settings.answer_column)
    return tuple(dict.fromkeys(name for name in names if name))


def messages(cells: Cells, settings: DatasetSettings) -> tuple[Message, ...]:
    """System, user and assistant message of a row; empty prompt columns leave no separator behind.

    Raises:
        RowError: the answer is missing or blank.
    """
    answer = cells.get(settings.answer_column or "")
    if answer is None:
        raise RowError(settings.answer_column or "", "the answer is missing")
    if not answer.strip():
        raise RowError(settings.answer_column or "", "the answer is empty")
    system = (cells.get(settings.system_column) or "") if settings.system_column else ""
    parts = [cells.get(name) or "" for name in settings.prompt_column]
    prompt = settings.prompt_column_separator.join(part for part in parts if part.strip())
    found = [Message("system", system)] if system.strip() else []
    found += [Message("user", prompt)] if prompt else []
    return (*found, Message("assistant", answer, learned=True))


def guess(table: Sequence[Column], rows: Sequence[Cells]) -> Guess | None:
    """Takes the columns with familiar names, else the last text column as the answer and the others as the prompt."""
    names = [column.name for column in table if column.kind in ("text", "number")]
    known = {name.strip().lower().replace(" ", "_"): name for name in reversed(names)}
    answer = next((known[name] for name in ANSWER_NAMES if name in known), None)
    system = next((known[name] for name in SYSTEM_NAMES if name in known), None)
    prompts = tuple(name for name in names if name.strip().lower().replace(" ", "_") in PROMPT_NAMES and name != answer)
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
        "system_column": system or "",
    }
    return Guess("instruction", settings, reason, certainty)


def quoted(names: Sequence[str]) -> str:
    """Names between quotation marks: a, b and c."""
    marked = [f"“{name}”" for name in names]
    return marked[0] if len(marked) == 1 else ", ".join(marked[:-1]) + " and " + marked[-1]
