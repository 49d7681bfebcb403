"""Disk use, appearance, secrets and server folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from h2o_wave import ui

from llm_studio import __version__
from llm_studio.actions.disk import DiskUse, disk_use, free_space
from llm_studio.errors import UserError
from llm_studio.ui import build, words
from llm_studio.ui.page import Card, Context, Event, Outcome, Page, dialog, stay, use_theme
from llm_studio.ui.pages import settings_secrets as secrets
from llm_studio.ui.tables import Column, Row, short_table

FREED = {
    "cache": ("Token cache", "Token ids and scores of untouched backbones. They are made again when needed."),
    "uploads": ("Uploads", "Files of imports that were never finished. A running import keeps its file."),
    "exports": ("Exports", "Packed adapters and merged models. The weights stay; an export can be made again."),
}


@dataclass(frozen=True)
class Data:
    """What the page shows."""

    use: DiskUse
    theme: str
    secrets: secrets.Data
    folders: tuple[str, ...]
    typed_folder: str
    home: str


def load(ctx: Context, args: tuple[str, ...]) -> Data:
    """Walks the home's folders, so the page refreshes slowly."""
    return Data(
        use=disk_use(ctx.store),
        theme=ctx.preferences.get("theme", "light"),
        secrets=secrets.load(ctx),
        folders=tuple(ctx.preferences.get("allowed_folders", [])),
        typed_folder=str(ctx.draft.get("folder", "")),
        home=str(ctx.home.path),
    )


def cards(data: Data) -> Sequence[Card]:
    """Disk on the left, the rest on the right."""
    use = data.use
    tiles = [
        ("Data sets", words.size(use.datasets_bytes)),
        ("Checkpoints", words.size(use.checkpoints_bytes)),
        ("Exports", words.size(use.exports_bytes)),
        ("Token cache", words.size(use.cache_bytes)),
        ("Uploads", words.size(use.uploads_bytes)),
        ("Free on the disk", words.size(use.free_bytes), f"of {words.size(use.total_bytes)}"),
    ]
    return (
        build.header("Settings", subtitle=f"Everything the studio keeps is in {data.home}"),
        build.stats("disk_tiles", tiles),
        build.form("main", "freeing", _freeing(use)),
        build.form("main", "disk_experiments", _experiments(use)),
        build.form("side", "appearance", _appearance(data.theme)),
        build.form("side", "token_card", secrets.token_items(data.secrets)),
        build.form("side", "judge_card", secrets.judge_items(data.secrets)),
        build.form("side", "folders", _folders(data)),
        build.form("side", "about", [build.heading("About"), build.pairs("about_pairs", [("Version", __version__)])]),
    )


def _freeing(use: DiskUse) -> list[Any]:
    items: list[Any] = [build.heading("Free disk space", hint="Nothing here loses a data set, a score or a model.")]
    sizes = {"cache": use.cache_bytes, "uploads": use.uploads_bytes, "exports": use.exports_bytes}
    for kind, (title, hint) in FREED.items():
        line = build.pairs(f"freed_{kind}", [(f"{title}: {words.size(sizes[kind])}", hint)])
        press = ui.button(name=f"ask_free/{kind}", label=f"Free {words.size(sizes[kind])}", disabled=not sizes[kind])
        items.append(ui.inline(items=[line, press], justify="between", align="center"))
    return items


def _experiments(use: DiskUse) -> list[Any]:
    hint = "Deleting a data set or an experiment on its own page frees what it takes."
    heading = build.heading(f"Experiments: {words.size(use.experiments_bytes)}", hint=hint)
    if not use.experiments:
        return [heading, *build.empty("No experiments yet.", "New experiment", "#new", name="no_experiments")]
    columns = [
        Column(name="name", label="Experiment", kind="link"),
        Column(name="status", label="Status", kind="status"),
        Column(name="total", label="Total", kind="number"),
        Column(name="checkpoints", label="Checkpoints", kind="number"),
        Column(name="resume", label="To continue", kind="number"),
        Column(name="exports", label="Exports", kind="number"),
    ]
    rows = [
        Row(
            name=one.id,
            cells={
                "name": one.name,
                "status": one.status,
                "total": words.size(one.total_bytes),
                "checkpoints": words.size(one.checkpoints_bytes),
                "resume": words.size(one.resume_bytes),
                "exports": words.size(one.exports_bytes),
            },
        )
        for one in use.experiments[:200]
    ]
    return [heading, short_table("disk_table", columns, rows, address="#experiment/")]


def _appearance(theme: str) -> list[Any]:
    choices = [ui.choice("light", "Light"), ui.choice("dark", "Dark")]
    tooltip = "Colours of the whole studio. The switch at the top right does the same."
    return [
        build.heading("Appearance"),
        ui.choice_group(
            name="theme", label="Theme", value=theme, choices=choices, inline=True, trigger=True, tooltip=tooltip
        ),
    ]


def _folders(data: Data) -> list[Any]:
    hint = "Data may be imported from these folders of the server without an upload."
    items: list[Any] = [build.heading("Server folders", hint=hint)]
    for index, folder in enumerate(data.folders):
        line = [build.paragraph(folder, name=f"folder_{index}"), build.button(f"remove_folder/{index}", "Remove")]
        items.append(ui.inline(items=line, justify="between", align="center"))
    tooltip = "The whole path of a folder on the machine that runs the studio. Folders inside it may be read too."
    box = ui.textbox(
        name="folder", label="Add a folder", value=data.typed_folder, placeholder="/data/sets", tooltip=tooltip
    )
    return [*items, box, build.row(build.button("add_folder", "Add folder"))]


def ask_free(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Say what goes before it goes."""
    title, hint = FREED[event.target]
    buttons = build.row(build.button(f"delete_kind/{event.target}", "Delete"), build.button("close", "Keep"))
    return dialog(f"{title}: delete?", build.paragraph(hint), buttons)


def delete_kind(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Free the space."""
    return stay(f"{words.size(free_space(ctx.store, event.target))} came free.")


def choose_theme(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Light or dark."""
    return use_theme("dark" if ctx.draft.pop("theme", "light") == "dark" else "light")


def add_folder(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Allow one more folder of the server."""
    typed = str(ctx.draft.get("folder", "")).strip()
    if not typed:
        raise UserError("The folder is empty.", where="Add a folder", fix="Type a whole path, such as /data/sets.")
    path = Path(typed).expanduser()
    if not path.is_absolute() or not path.is_dir():
        raise UserError(
            f"There is no folder {typed!r} on the server.",
            where="Add a folder",
            fix="Type the whole path of a folder that exists, such as /data/sets.",
        )
    path, home = path.resolve(), ctx.home.path.resolve()
    if path == home or path in home.parents or home in path.parents:
        raise UserError(
            f"{path} holds or lies in the studio's own files, among them its secrets.",
            where="Add a folder",
            fix="Choose a folder that holds data only.",
        )
    folders = [*ctx.preferences.get("allowed_folders", [])]
    if str(path) not in folders:
        ctx.preferences.set("allowed_folders", [*folders, str(path)])
    ctx.draft.pop("folder", None)
    return stay(f"{path} may be read now.")


def remove_folder(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Allow one folder less."""
    folders = [*ctx.preferences.get("allowed_folders", [])]
    index = int(event.target) if event.target.isdigit() else len(folders)
    if index < len(folders):
        gone = folders.pop(index)
        ctx.preferences.set("allowed_folders", folders)
        return stay(f"{gone} is no longer read.")
    return stay()


PAGE = Page(
    route="settings",
    title="Settings",
    section="settings",
    load=load,
    cards=cards,
    refresh_seconds=10.0,
    actions={
        "ask_free": ask_free,
        "delete_kind": delete_kind,
        "theme": choose_theme,
        **secrets.ACTIONS,
        "add_folder": add_folder,
        "remove_folder": remove_folder,
    },
)
