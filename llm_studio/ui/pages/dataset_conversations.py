"""The conversations of one part of a data set, as the model gets them, and their download."""

from dataclasses import dataclass

from llm_studio.actions import datasets as actions
from llm_studio.actions.datasets import DatasetView
from llm_studio.data.browse import browse_folder
from llm_studio.data.dataset import Part
from llm_studio.data.types import Conversation
from llm_studio.ui import build
from llm_studio.ui.page import Card, Context, Event, Outcome, download
from llm_studio.ui.pages import conversation_view

SHOWN = 10
MOST_DOWNLOADED = 50_000
"""More rows than this take longer than a click may; the command line writes any number."""
PARTS: dict[Part, str] = {"train": "To learn from", "validation": "Validation", "test": "Last test"}


@dataclass(frozen=True)
class Body:
    """Some conversations of a part, from `offset` on, of `total`."""

    part: Part
    conversations: tuple[Conversation, ...]
    offset: int
    total: int


def load(ctx: Context, view: DatasetView) -> Body:
    """A page of conversations of one part."""
    part: Part = next((name for name in PARTS if name == ctx.query.get("part")), "train")
    number = ctx.query.get("from", "0")
    offset = int(number) if number.isdecimal() else 0
    rows = view.dataset.split.rows(part)
    shown = tuple(view.dataset.read_rows(part, rows[offset : offset + SHOWN]))
    return Body(part, shown, offset, len(rows))


def refresh_seconds(view: DatasetView, body: Body) -> float | None:
    """Nothing changes by itself."""
    return None


def cards(view: DatasetView, body: Body) -> list[Card]:
    """The part, its conversations, the way to the next ones."""
    address = f"#dataset/{view.record.id}/conversations"
    chips = [
        (title, f"{address}?part={part}")
        for part, title in PARTS.items()
        if part != "test" or len(view.dataset.split.test)
    ]
    last = min(body.offset + SHOWN, body.total)
    said = f"{body.offset + 1:,} to {last:,} of {body.total:,}" if body.total else "There are none."
    around = []
    if body.offset > 0:
        around.append(build.button(f"{address}?part={body.part}&from={max(body.offset - SHOWN, 0)}", "Previous"))
    if last < body.total:
        around.append(build.button(f"{address}?part={body.part}&from={last}", "Next"))
    if 0 < body.total <= MOST_DOWNLOADED:
        around.append(build.button(f"download_part/{body.part}", "Download these rows"))
    elif body.total:
        said += f" To get them as a file: llm-studio dataset export {view.record.id} --part {body.part}"
    return [
        build.form(
            "main",
            "conversations_card",
            [
                build.chips("parts", chips, f"{address}?part={body.part}"),
                conversation_view.conversations("conversation_list", body.conversations),
                build.row(build.paragraph(said, quiet=True), *around),
            ],
        )
    ]


def download_part(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Hands the rows of a part to the browser as JSON Lines, each with its row number."""
    view = actions.show(ctx.store, args[0])
    part: Part = next((name for name in PARTS if name == event.argument), "train")
    path = browse_folder(ctx.home, args[0]) / f"{part}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    actions.write_part(view.dataset, part, path)
    return download(path, f"{view.record.name} {part}.jsonl")


ACTIONS = {"download_part": download_part}
