"""Adding the rows of another data set: which one, and which of its columns goes where."""

from collections.abc import Mapping
from typing import Any

from h2o_wave import ui

from llm_studio.actions import datasets as actions
from llm_studio.data.merging import proposed
from llm_studio.errors import UserError
from llm_studio.store import DatasetRecord
from llm_studio.ui import build, words
from llm_studio.ui.page import Context, Event, Outcome, go, panel

LEFT_OUT = "(leave out)"


def ask_merge(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Opens the panel; the newest other data set is chosen at first."""
    first = ctx.store.datasets.get(event.target)
    others = [record for record in ctx.store.datasets.list() if record.id != first.id]
    if not others:
        raise UserError(
            "There is no other data set whose rows could be added.", where="Merge", fix="Import a second one first."
        )
    ctx.draft["merge_second"] = others[0].id
    return shown(ctx, first, others)


def choose_second(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Shows the columns of another data set."""
    first = ctx.store.datasets.get(event.argument)
    others = [record for record in ctx.store.datasets.list() if record.id != first.id]
    ctx.draft["merge_second"] = str(ctx.draft.get(f"merge_second/{first.id}") or ctx.draft["merge_second"])
    return shown(ctx, first, others)


def shown(ctx: Context, first: DatasetRecord, others: list[DatasetRecord]) -> Outcome:
    """The panel with the proposed columns."""
    second = ctx.store.datasets.get(str(ctx.draft["merge_second"]))
    one, other = (actions.show(ctx.store, record.id).dataset for record in (first, second))
    mapping = proposed(one, other)
    for index, name in enumerate(other.columns):
        ctx.draft[f"merge_column/{index}"] = mapping.get(name, LEFT_OUT)
    items: list[Any] = [
        build.paragraph(
            f"The rows of the other data set come behind the {words.plural(first.row_count, 'row')} of {first.name}. "
            "Both stay as they are; the outcome is a new import that you can look at before it is kept.",
            quiet=True,
        ),
        ui.dropdown(
            name=f"merge_second/{first.id}",
            label="Add the rows of",
            value=second.id,
            choices=[
                ui.choice(record.id, f"{record.name} ({words.plural(record.row_count, 'row')})") for record in others
            ],
            tooltip="The data set whose rows come after those of the first.",
            trigger=True,
        ),
        build.heading("Columns", hint=f"Where each column of {second.name} goes."),
        *(column_field(index, name, one.columns, mapping) for index, name in enumerate(other.columns)),
        build.row(build.primary(f"merge/{first.id}", "Merge"), build.button("close", "Cancel")),
    ]
    return panel(f"Merge with {first.name}", *items)


def column_field(index: int, name: str, targets: tuple[str, ...], mapping: Mapping[str, str]) -> Any:
    """One column of the second data set."""
    return ui.dropdown(
        name=f"merge_column/{index}",
        label=name,
        value=mapping.get(name, LEFT_OUT),
        choices=[ui.choice(one, one) for one in (LEFT_OUT, *targets)],
        tooltip="The column of the first data set that takes these values.",
    )


def merge(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Starts the import of the rows of both."""
    second = str(ctx.draft["merge_second"])
    columns = actions.show(ctx.store, second).dataset.columns
    chosen = {name: str(ctx.draft.get(f"merge_column/{index}", LEFT_OUT)) for index, name in enumerate(columns)}
    mapping = {name: target for name, target in chosen.items() if target != LEFT_OUT}
    job = actions.start_merge(ctx.store, event.argument, second, mapping)
    return go(f"#import/{job.id}/columns")


def duplicate(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Makes a second data set of the same rows and opens it."""
    record = actions.duplicate_dataset(ctx.store, event.target)
    return go(f"#dataset/{record.id}/columns", f"{record.name} has the same rows; change what you like.")


ACTIONS = {"ask_merge": ask_merge, "merge_second": choose_second, "merge": merge, "duplicate": duplicate}
