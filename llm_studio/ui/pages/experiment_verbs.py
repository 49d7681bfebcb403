"""What can be done to an experiment from the list and its own page: stop, continue, more epochs, rename, delete."""

from collections.abc import Sequence

from h2o_wave import ui

from llm_studio.actions import experiments as actions
from llm_studio.actions import going_on
from llm_studio.errors import UserError
from llm_studio.store import ExperimentRecord
from llm_studio.ui import build, words
from llm_studio.ui.page import Context, Event, Outcome, dialog, go, stay


def target(args: tuple[str, ...], event: Event) -> str:
    """The experiment meant: the row of a list, else the page's own."""
    return event.target or (args[0] if args else "")


def stop(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Stops it; says what comes next."""
    record = actions.stop_experiment(ctx.store, target(args, event))
    if record.status == "stopped":
        return stay(f"{record.name} is stopped.")
    if record.status != "running":
        raise UserError(f"{record.name} is {record.status} already.", fix="There is nothing to stop.")
    return stay(f"{record.name} saves a checkpoint and stops after the current batch.", "info")


def continue_(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Queues it again from its last checkpoint."""
    record = actions.continue_experiment(ctx.store, target(args, event))
    return stay(f"{record.name} goes on from its last checkpoint.")


def ask_more(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Asks how many epochs, and says what optimiser and learning rate do then."""
    record = ctx.store.experiments.get(target(args, event))
    if not going_on.can_train_more(ctx.store, record):
        raise going_on.no_more(record)
    config = actions.config_of(ctx.store, record.id)
    step, epoch = going_on.how_far(ctx.store, record)
    ctx.draft["more_epochs"] = "1"
    items = [
        build.paragraph(
            f"It has learned for {epoch:g} {'epoch' if epoch == 1 else 'epochs'}, {words.count(step)} steps. "
            "It goes on from its last weights."
        ),
        ui.textbox(
            name="more_epochs",
            label="Epochs to add",
            value="1",
            type="number",
            width="160px",
            tooltip="Passes over the training rows, beside those it has made. More learns more and may overfit.",
        ),
        build.paragraph(going_on.schedule_words(config, None), quiet=True),
    ]
    if record.status == "stopped" and actions.can_continue(ctx.store, record):
        said = "To end the epochs it was started with, by the learning rate planned for them, press Continue instead."
        items.append(build.paragraph(said, quiet=True))
    items.append(build.row(build.primary(f"more/{record.id}", "Add and start"), build.button("close", "Cancel")))
    return dialog(f"More epochs for {record.name}", *items)


def more(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Queues it for them."""
    given = str(ctx.draft.get("more_epochs") or "").strip()
    if not given.isdecimal():
        raise UserError(
            f"{given or 'Nothing'} is not a number of epochs.", where="Epochs to add", fix="Type 1 or more."
        )
    record = going_on.more_epochs(ctx.store, event.argument, int(given))
    return stay(f"{record.name} is in the queue for {going_on.plural_epochs(int(given))} more.")


def ask_restart(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Asks, since what it had made goes."""
    record = ctx.store.experiments.get(target(args, event))
    if record.status in ("queued", "running"):
        raise UserError(f"{record.name} is {record.status}.", fix="Stop it first, then restart it.")
    said = "It begins again with the same settings. Its checkpoints, charts, predictions and log are removed."
    return dialog(
        f"Restart {record.name}?",
        build.paragraph(said),
        build.row(build.primary(f"restart_now/{record.id}", "Restart"), build.button("close", "Keep")),
    )


def restart(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Runs it again from its beginning."""
    record = actions.restart_experiment(ctx.store, event.argument)
    return stay(f"{record.name} is in the queue again.")


def new_from(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Opens the form with the settings of this one."""
    record = ctx.store.experiments.get(target(args, event))
    actions.config_of(ctx.store, record.id)
    return go(f"#new/{record.dataset_id}?from={record.id}")


def ask_rename(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Asks for the new name."""
    record = ctx.store.experiments.get(target(args, event))
    ctx.draft["new_name"] = record.name
    return dialog(
        "Rename experiment",
        ui.textbox(
            name="new_name", label="Name", value=record.name, tooltip="1 to 80 characters; shown in lists and charts."
        ),
        build.row(build.primary(f"rename/{record.id}", "Rename"), build.button("close", "Cancel")),
    )


def rename(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Gives the new name."""
    record = actions.rename_experiment(ctx.store, event.argument, str(ctx.draft.get("new_name", "")))
    return stay(f"It is called {record.name} now.")


def ask_delete(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Asks once and says what goes."""
    return ask_delete_of(ctx, [target(args, event)])


def ask_delete_of(ctx: Context, ids: Sequence[str]) -> Outcome:
    """Asks once for one or several and says what goes with them."""
    records = [record for one in ids if (record := ctx.store.experiments.find(one)) is not None]
    if not records:
        raise UserError("No experiment is chosen.", where="list", fix="Tick the ones to delete.")
    running = [record.name for record in records if record.status == "running"]
    if running:
        raise UserError(f"{', '.join(running)} cannot be deleted while running.", fix="Stop it first.")
    title = f"Delete {records[0].name}?" if len(records) == 1 else f"Delete {len(records)} experiments?"
    items = [build.paragraph(f"{what_goes(ctx, records)} This cannot be undone. The data set stays.")]
    if len(records) > 1:
        items.insert(0, build.paragraph(", ".join(record.name for record in records)))
    names = ",".join(record.id for record in records)
    items.append(build.row(build.button(f"delete_now/{names}", "Delete"), build.button("close", "Keep")))
    return dialog(title, *items)


def what_goes(ctx: Context, records: Sequence[ExperimentRecord]) -> str:
    """Everything that a deletion removes, counted."""
    goes = [actions.leavings(ctx.store, record.id) for record in records]
    counts = [
        (sum(one.checkpoints for one in goes), "checkpoint"),
        (sum(one.evaluations for one in goes), "set of predictions"),
        (sum(one.exports for one in goes), "export"),
        (sum(one.chats for one in goes), "chat"),
    ]
    many = {"set of predictions": "sets of predictions"}
    parts = [words.plural(number, word, many.get(word, "")) for number, word in counts if number]
    size = words.size(sum(one.size_bytes for one in goes))
    return f"Settings, charts and log go{', with ' if parts else ''}{', '.join(parts)}: {size} of disk space are freed."


def delete_all(ctx: Context, ids: Sequence[str]) -> str:
    """Deletes them; gives their names."""
    names = []
    for one in ids:
        record = ctx.store.experiments.find(one)
        if record is not None:
            actions.delete_experiment(ctx.store, one)
            names.append(record.name)
    return ", ".join(names) or "nothing"
