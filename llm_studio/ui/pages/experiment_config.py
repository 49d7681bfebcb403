"""The config of an experiment: what was changed from the default, everything else, and the data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from h2o_wave import ui

from llm_studio.actions.comparison import settings_of
from llm_studio.config import SettingInfo, all_settings, settings_by_path
from llm_studio.store import DatasetRecord, ExperimentRecord
from llm_studio.ui import build, text, words
from llm_studio.ui.page import Card, Context, Event, Outcome, download

NOT_SHOWN = ("experiment_name", "dataset_id")


@dataclass(frozen=True)
class Body:
    """values: settings by path, as the file has them. dataset None: it was deleted."""

    values: dict[str, Any]
    dataset: DatasetRecord | None


def load(ctx: Context, record: ExperimentRecord) -> Body:
    """Reads the YAML file."""
    return Body(settings_of(ctx.store, record.id), ctx.store.datasets.find(record.dataset_id))


def cards(record: ExperimentRecord, body: Body) -> Iterator[Card]:
    """Changed settings, all settings, and beside them the data set."""
    known = settings_by_path()
    shown = {path: value for path, value in body.values.items() if path not in NOT_SHOWN}
    changed = [path for path, value in shown.items() if path in known and not same(value, known[path].default)]
    items: list[Any] = [
        build.row(
            build.heading("Changed from the default", hint=f"{len(changed)} of {len(shown)} settings."),
            build.button(f"download_yaml/{record.id}", "Download YAML"),
            justify="between",
        )
    ]
    if changed:
        items.append(build.line("changed", changed_table([known[path] for path in changed], shown)))
    else:
        items.append(build.paragraph("Every setting has its default value.", quiet=True))
    yield build.form("main", "changed_card", items)
    yield build.form("main", "all_card", [build.heading("All settings"), sections(shown, set(changed))])
    yield build.form("side", "data_card", data_items(record, body.dataset))


def same(value: Any, default: Any) -> bool:
    """Whether a value of the file is the default: YAML has lists where we have tuples."""
    return bool(value == (list(default) if isinstance(default, tuple) else default))


def changed_table(infos: Sequence[SettingInfo], values: dict[str, Any]) -> str:
    """Markup: setting, value, default."""
    rows = "".join(
        f'<tr><th scope="row" title="{text.markup(info.help)}">{text.markup(info.title)}'
        f'<span class="ls-tile-note">{text.markup(info.path)}</span></th>'
        f'<td data-label="Value">{text.markup(shown_value(values[info.path]))}</td>'
        f'<td data-label="Default" class="ls-quiet">{text.markup(shown_value(info.default))}</td></tr>'
        for info in infos
    )
    head = '<th scope="col">Setting</th><th scope="col">Value</th><th scope="col">Default</th>'
    return f'<table class="ls-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def sections(values: dict[str, Any], changed: set[str]) -> Any:
    """One list per section that opens and closes."""
    known = settings_by_path()
    groups: dict[str, list[str]] = {}
    parts = []
    for path in values:
        groups.setdefault(path.split(".")[0] if "." in path else "general", []).append(path)
    for name, paths in groups.items():
        rows = "".join(
            f"<dt>{text.markup(known[path].title if path in known else path)}</dt>"
            f"<dd{' class=ls-changed' if path in changed else ''}>{text.markup(shown_value(values[path]))}</dd>"
            for path in paths
        )
        number = sum(1 for path in paths if path in changed)
        note = f"{len(paths)} settings" + (f", {number} changed" if number else "")
        parts.append(
            f'<details class="ls-details"><summary>{text.markup(name.capitalize())}'
            f'<span class="ls-tile-note">{note}</span></summary><dl class="ls-pairs">{rows}</dl></details>'
        )
    return ui.markup(name="all_settings", content="".join(parts))


def shown_value(value: Any) -> str:
    """A value as people read it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    if value is None or value == "":
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def data_items(record: ExperimentRecord, dataset: DatasetRecord | None) -> list[Any]:
    """The data set: rows, split and columns; they are set on its own pages."""
    items: list[Any] = [
        build.heading("Data set", hint="Columns and split belong to the data set and are read-only here.")
    ]
    if dataset is None:
        items.append(build.finding_bar("warning", f"The data set {record.dataset_name} was deleted.", name="data_gone"))
        return items
    if dataset.fingerprint != record.dataset_fingerprint:
        what = "Its columns or split were changed after this experiment, so its rows are not the same any more."
        items.append(build.finding_bar("warning", what, name="data_changed"))
    pairs = [
        ("Rows to learn from", words.count(dataset.train_rows)),
        ("Rows held out", words.count(dataset.validation_rows)),
    ]
    for info in all_settings():
        value = dataset.settings.get(info.name)
        if info.scope == "dataset" and value not in (None, "", [], ()):
            pairs.append((info.title, shown_value(value).replace("\n", "↵")))
    items += [
        build.line("data_link", text.link(dataset.name, f"#dataset/{dataset.id}/rows")),
        build.pairs("data_settings", pairs),
    ]
    return items


def download_yaml(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Hands out config.yaml."""
    record = ctx.store.experiments.get(args[0])
    return download(ctx.home.experiment(record.id) / "config.yaml", f"{record.name}.yaml")


ACTIONS = {"download_yaml": download_yaml}
