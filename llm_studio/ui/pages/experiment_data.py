"""The data of an experiment: which rows it learns, which are held out, and what the first of them look like."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from llm_studio.data import open_dataset
from llm_studio.data.types import Conversation
from llm_studio.errors import UserError
from llm_studio.store import DatasetRecord, ExperimentRecord
from llm_studio.ui import build, text, words
from llm_studio.ui.page import Card, Context
from llm_studio.ui.pages.conversation_view import conversations

SHOWN = 3


@dataclass(frozen=True)
class Body:
    """dataset None: it was deleted. problem: why its rows cannot be shown."""

    dataset: DatasetRecord | None
    learned: tuple[Conversation, ...] = ()
    held_out: tuple[Conversation, ...] = ()
    problem: UserError | None = None


def load(ctx: Context, record: ExperimentRecord) -> Body:
    """Reads the first rows of both parts."""
    found = ctx.store.datasets.find(record.dataset_id)
    if found is None:
        return Body(None)
    try:
        opened = open_dataset(ctx.home.dataset(found.id))
        held_out = tuple(not_learned(one) for one in opened.conversations("validation", SHOWN))
        return Body(found, tuple(opened.conversations("train", SHOWN)), held_out)
    except UserError as error:
        return Body(found, problem=error)


def not_learned(conversation: Conversation) -> Conversation:
    """The same conversation without the marks of what is learned: held-out rows never are."""
    return replace(conversation, messages=tuple(replace(one, learned=False) for one in conversation.messages))


def cards(record: ExperimentRecord, body: Body) -> Iterator[Card]:
    """The split in figures, then the first rows of each part beside each other."""
    if body.dataset is None:
        said = f"The data set {record.dataset_name} was deleted, so its rows cannot be shown any more."
        yield build.form("main", "data_gone", build.empty(said, name="no_data"))
        return
    dataset = body.dataset
    items = [build.line("data_link", f"{text.link(dataset.name, f'#dataset/{dataset.id}/rows')}")]
    if dataset.fingerprint != record.dataset_fingerprint:
        what = "Its columns or split were changed after this experiment, so these are not the rows it was given."
        items.append(build.finding_bar("warning", what, name="data_changed"))
    if body.problem is not None:
        items.append(build.error_bar(body.problem, name="data_problem"))
    yield build.form("main", "data_head", items)
    parts = (
        ("learned", "Learned", dataset.train_rows, body.learned, "The marked answers are learned."),
        (
            "held_out",
            "Held out",
            dataset.validation_rows,
            body.held_out,
            "Never learned; every score is of these rows.",
        ),
    )
    for name, title, count, shown, hint in parts:
        if shown:
            head = build.heading(f"{title}: {words.plural(count, 'row')}", hint=f"{hint} The first {len(shown)}:")
            yield build.form("grid", f"rows_{name}", [head, conversations(f"conversations_{name}", shown)])
