"""The first step of the import wizard: where the data comes from; each source has a form made from the catalog."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from h2o_wave import ui

from llm_studio.actions import datasets as actions
from llm_studio.catalog.connectors import CONNECTORS, Connector, SourceField
from llm_studio.data.connectors import address, form
from llm_studio.data.connectors.local import allowed_folders, list_files
from llm_studio.data.reading import EXTENSIONS
from llm_studio.data.reading.formats import LIST_OF_FORMATS
from llm_studio.errors import UserError
from llm_studio.starter import SAMPLES, Sample
from llm_studio.store import JobRecord
from llm_studio.ui import build, text, words
from llm_studio.ui.page import Card, Context, Event, Outcome, go, stay
from llm_studio.ui.pages import import_cards

FIRST = "upload"
CHOICES = tuple(entry for entry in CONNECTORS if entry.name != "starter")  # the samples have a card of their own
FETCHED = {entry.name: entry for entry in CONNECTORS if entry.fetches}


@dataclass(frozen=True)
class Data:
    """What the step shows; a secret is never part of it, only where it is kept."""

    kind: str = FIRST
    typed: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    allowed: bool = False
    unfinished: tuple[JobRecord, ...] = ()
    remembered: Mapping[str, str] = field(default_factory=dict)
    saved: Mapping[str, str] = field(default_factory=dict)


def load(ctx: Context) -> Data:
    """The chosen source (`?kind=` of the address) and what is known for its form."""
    kind = ctx.query.get("kind", FIRST)
    kind = kind if kind in {entry.name for entry in CHOICES} else FIRST
    entry = FETCHED.get(kind)
    forget_typed_secrets(ctx)
    return Data(
        kind=kind,
        typed=dict(ctx.draft),
        files=tuple(map(str, list_files(ctx.store))) if kind == "local" else (),
        allowed=bool(allowed_folders(ctx.store)),
        unfinished=tuple(actions.open_imports(ctx.store)),
        remembered=form.remembered(ctx.store, entry) if entry else {},
        saved=form.saved(ctx.store, entry) if entry else {},
    )


def forget_typed_secrets(ctx: Context) -> None:
    """A secret that came with another button than its own is not kept."""
    for entry in FETCHED.values():
        for one in entry.fields:
            if one.secret:
                ctx.draft.pop(f"source/{entry.name}/{one.name}", None)


def cards(data: Data) -> list[Card]:
    """Sources to choose from, the form of the chosen one; samples below the upload; unfinished imports beside."""
    addresses = [(entry.title, address_of(entry)) for entry in CHOICES]
    current = next(address_of(entry) for entry in CHOICES if entry.name == data.kind)
    found = [
        *import_cards.head(0, subtitle="Choose where the data comes from; you can check everything before it is kept."),
        build.form("top", "sources_card", [build.chips("sources", addresses, current)]),
    ]
    if data.kind == FIRST:
        found.append(build.form("main", "upload_card", upload_items()))
    elif data.kind == "local":
        found.append(build.form("main", "server_card", server_items(data)))
    else:
        found.append(build.form("main", "source_form", form_items(FETCHED[data.kind], data)))
    if data.unfinished:
        found.append(build.form("side", "unfinished_card", unfinished_items(data.unfinished)))
    if data.kind == FIRST:
        intro = [build.heading("Or start with a sample", hint="Small data sets that come with the studio.")]
        found.append(build.form("main", "samples_card", [*intro, *(sample_item(one) for one in SAMPLES)]))
    return found


def address_of(entry: Connector) -> str:
    """The address of a source's form; the first one needs no word."""
    return "#import" if entry.name == FIRST else f"#import?kind={entry.name}"


def upload_items() -> list[Any]:
    """A file from the user's computer."""
    hint = f"{LIST_OF_FORMATS}. The first line of a CSV file names the columns."
    return [
        build.heading("Upload a file", hint=hint),
        ui.file_upload(
            name="upload",
            label="Upload and read",
            file_extensions=[extension.removeprefix(".") for extension in EXTENSIONS],
            height="200px",
            tooltip="Drop one file here. It goes to this server only, and is read in a process of its own.",
        ),
    ]


def server_items(data: Data) -> list[Any]:
    """A file in an allowed folder."""
    items: list[Any] = [build.heading("File on the server", hint="A file that is there already, of any size.")]
    if not data.allowed:
        return [
            *items,
            build.paragraph("No folder may be read yet. Allow one under Settings."),
            build.row(build.primary("#settings", "Allow a folder")),
        ]
    return [
        *items,
        ui.combobox(
            name="server_file",
            label="Path",
            value=data.typed.get("server_file"),
            placeholder="Choose a file or type its path",
            choices=list(data.files),
            tooltip="A file in an allowed folder. It is read where it lies and not changed.",
        ),
        build.row(build.primary("read_local", "Read this file")),
    ]


def form_items(entry: Connector, data: Data) -> list[Any]:
    """The form of a source that is fetched, from its catalog line."""
    items: list[Any] = [build.heading(entry.title, hint=entry.help)]
    items += [field_item(entry, one, data) for one in entry.fields]
    buttons = [build.primary(f"fetch/{entry.name}", "Fetch and read")]
    kept = [place for place in data.saved.values() if place != "environment"]
    if kept:
        buttons.append(build.button(f"remove_keys/{entry.name}", "Forget what is saved"))
        where = "in the keyring of this system" if "keyring" in kept else "in a file that only you can read"
        items.append(build.paragraph(f"What is marked as saved is kept {where}, for later imports too.", quiet=True))
    return [*items, build.row(*buttons)]


def field_item(entry: Connector, one: SourceField, data: Data) -> Any:
    """One field; a secret is never sent back to the browser."""
    name = f"source/{entry.name}/{one.name}"
    if one.secret:
        place = data.saved.get(one.secret, "")
        said = {"": one.example, "environment": "set in the environment"}.get(place, "saved; type to replace it")
        return ui.textbox(
            name=name,
            label=one.label,
            value="",
            password=True,
            placeholder=said or None,
            disabled=place == "environment",
            tooltip=f"{one.tooltip} It is kept as a secret and never shown again.",
        )
    value = data.typed.get(name, data.remembered.get(one.name, ""))
    return ui.textbox(
        name=name,
        label=one.label,
        value=str(value or ""),
        required=one.required,
        placeholder=one.example or None,
        tooltip=one.tooltip,
        spellcheck=False,
    )


def sample_item(sample: Sample) -> Any:
    """One sample with its button."""
    about = f'<p class="ls-text"><b>{text.markup(sample.title)}</b></p>'
    about += f'<p class="ls-hint">{text.markup(sample.description)}</p>'
    return build.row(
        ui.markup(name=f"about_{sample.name}", content=about),
        build.button(f"sample/{sample.name}", "Use this sample"),
        justify="between",
    )


def unfinished_items(jobs: Sequence[JobRecord]) -> list[Any]:
    """Imports that wait for the user, each with a way on and a way out."""
    items: list[Any] = [build.heading("Unfinished imports")]
    for job in jobs:
        name = address(job.params["source"]) if "source" in job.params else "Two data sets, merged"
        state = "being read" if actions.is_active(job) else "waits for you to choose its columns"
        line = f'<p class="ls-text">{text.markup(name)}</p>'
        line += f'<p class="ls-hint">{text.markup(state)}, {text.markup(words.ago(job.created_at))}</p>'
        items.append(
            build.row(
                ui.markup(name=f"unfinished_{job.id}", content=line),
                build.row(
                    build.button(f"#import/{job.id}/columns", "Continue"),
                    build.button(f"delete_draft/{job.id}", "Discard"),
                ),
                justify="between",
            )
        )
    return items


def fetch(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Starts a job that fetches and reads; secrets leave the draft before anything else is done."""
    entry = FETCHED[event.target]
    typed: dict[str, object] = {}
    for one in entry.fields:
        name = f"source/{entry.name}/{one.name}"
        typed[one.name] = ctx.draft.pop(name, "") if one.secret else ctx.draft.get(name, "")
    known = form.remembered(ctx.store, entry)
    typed |= {name: value for name, value in known.items() if f"source/{entry.name}/{name}" not in ctx.draft}
    source = form.take_form(ctx.store, entry.name, typed)
    try:
        job = actions.start_import(ctx.store, source)
    except UserError:
        form.forget(ctx.store, source)
        raise
    return go(f"#import/{job.id}/columns")


def remove_keys(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Forgets the saved secrets of a source."""
    form.forget_keys(ctx.store, FETCHED[event.target])
    return stay("What was saved is forgotten.")
