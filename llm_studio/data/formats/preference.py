"""Layout "preference": a prompt with a chosen and a rejected answer (DPO), or with one answer that is labelled (KTO).

Supervised tuning learns the chosen answer; the rejected one is kept for preference training.
"""

from collections.abc import Sequence

from llm_studio.config import DatasetSettings
from llm_studio.data.blocks import joined_cells
from llm_studio.data.column_names import (
    CHAT_NAMES,
    PROMPT_NAMES,
    SYSTEM_NAMES,
    is_yes_or_no,
    named,
    plain,
    quoted,
    truth,
)
from llm_studio.data.turns import Place, either, looks_like_list, read_list, with_system
from llm_studio.data.types import Cells, Column, Conversation, Guess, Message, RowError

READS = (
    "system_column",
    "messages_column",
    "prompt_column",
    "answer_column",
    "rejected_answer_column",
    "wanted_column",
)
NEEDS = (("answer_column",), ("rejected_answer_column", "wanted_column"))
PAIRS = (
    ("chosen", "rejected"),
    ("chosen_response", "rejected_response"),
    ("chosen_answer", "rejected_answer"),
    ("answer_chosen", "answer_rejected"),
    ("response_chosen", "response_rejected"),
    ("preferred", "rejected"),
    ("preferred", "dispreferred"),
)
KTO_LABELS = ("label", "labels", "kto_tag", "desirable")


def conversation(row: int, cells: Cells, settings: DatasetSettings) -> Conversation:
    """What was said before, none of it learned, and the chosen answer, which is.

    An answer that is a list of messages and does not begin with the assistant holds its prompt itself; the prompt
    columns are then not put before it.

    Raises:
        RowError: an answer is missing, blank or no message of the assistant; the prompt is no list of messages; the
            answer is labelled as not wanted, or with neither true nor false.
    """
    if settings.wanted_column:
        check_wanted(cells.get(settings.wanted_column), settings.wanted_column)
    whole = answer_messages(cells.get(settings.answer_column), settings.answer_column, "chosen answer")
    rejected = ""
    if settings.rejected_answer_column:
        column = settings.rejected_answer_column
        rejected = answer_messages(cells.get(column), column, "rejected answer")[-1].text
    before: tuple[Message, ...] = ()
    if whole[0].role == "assistant":
        if settings.messages_column:
            before = read_list(cells.get(settings.messages_column), settings.messages_column, either)
        prompt = joined_cells(cells, settings.prompt_column, settings.prompt_column_separator)
        before += (Message("user", prompt),) if prompt else ()
    system = cells.get(settings.system_column) if settings.system_column else None
    read = with_system((*before, *whole[:-1]), system)
    unlearned = tuple(without_learning(one) for one in read)
    last = whole[-1]
    learned = Message("assistant", last.content, True, last.tool_calls, last.name)
    return Conversation(row, (*unlearned, learned), rejected=rejected)


def check_wanted(value: str | None, column: str) -> None:
    """Whether the answer is labelled as a good one.

    Raises:
        RowError: it is not, or the label says neither.
    """
    if value is None or not value.strip():
        raise RowError(column, "the label is missing")
    wanted = truth(value)
    if wanted is None:
        raise RowError(column, "the label is neither true nor false")
    if not wanted:
        raise RowError(column, "the answer is labelled as not wanted")


def answer_messages(text: str | None, column: str, what: str) -> tuple[Message, ...]:
    """An answer as text, as one object or as a list of messages; the last one is the assistant's.

    Raises:
        RowError: it is missing or blank, or the last message is not the assistant's.
    """
    if text is None:
        raise RowError(column, f"the {what} is missing")
    if not text.strip():
        raise RowError(column, f"the {what} is empty")
    head = text.lstrip()
    if looks_like_list(head, "role") or looks_like_list(head, "from"):
        found = read_list(text, column, either)
    elif looks_like_list(f"[{head}]", "role") or looks_like_list(f"[{head}]", "from"):
        found = read_list(f"[{text}]", column, lambda item, place: either(item, Place(column)))
    else:
        found = (Message("assistant", text, learned=True),)
    if found[-1].role != "assistant":
        raise RowError(column, f"the last message of the {what} is not the assistant's")
    if not found[-1].text.strip():
        raise RowError(column, f"the {what} is empty")
    return found


def without_learning(message: Message) -> Message:
    """The message as one that is only read."""
    return Message(message.role, message.content, False, message.tool_calls, message.name, message.tool_call_id)


def guess(table: Sequence[Column], rows: Sequence[Cells]) -> Guess | None:
    """Two columns named chosen and rejected, or a label that is true or false beside prompt and completion."""
    kinds = ("text", "list", "number")
    chosen = rejected = wanted = ""
    for good, bad in PAIRS:
        chosen, rejected = named((good,), table, kinds), named((bad,), table, kinds)
        if chosen and rejected:
            reason = (
                f"“{chosen}” and “{rejected}” hold a preferred and a rejected answer: the preferred one is learned."
            )
            break
    else:
        chosen, rejected = named(("completion",), table, kinds), ""
        wanted = named(KTO_LABELS, table, ("boolean", "text", "number"))
        if not chosen or not wanted or not named(("prompt",), table, kinds) or not is_yes_or_no(rows, wanted):
            return None
        reason = f"“{wanted}” says of each “{chosen}” whether it is wanted (KTO): those with true are learned."
    lists = [
        column.name
        for column in table
        if column.name not in (chosen, rejected)
        and any(looks_like_list(row.get(column.name), part) for row in rows for part in ("role", "from"))
    ]
    talk = next((name for name in lists if plain(name) in (*CHAT_NAMES, "prompt")), lists[0] if lists else "")
    prompts = () if talk else prompts_of(table, (chosen, rejected, wanted))
    if before := ((talk,) if talk else prompts):
        reason += f" {quoted(before)} {'holds' if len(before) == 1 else 'hold'} what was said before."
    settings: dict[str, object] = {
        "layout": "preference",
        "messages_column": talk,
        "prompt_column": prompts,
        "answer_column": chosen,
        "rejected_answer_column": rejected,
        "wanted_column": wanted,
        "system_column": named(SYSTEM_NAMES, table, ("text",)),
    }
    return Guess("preference", settings, reason, 0.98)


def prompts_of(table: Sequence[Column], taken: Sequence[str]) -> tuple[str, ...]:
    """The columns with familiar names for a prompt."""
    texts = [column.name for column in table if column.kind in ("text", "number") and column.name not in taken]
    return tuple(name for name in texts if plain(name) in PROMPT_NAMES)
