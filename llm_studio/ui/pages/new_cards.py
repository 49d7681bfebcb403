"""Draws the page of a new experiment: bar, findings and the list of sections; the settings are in `new_fields`."""

from collections.abc import Iterator
from typing import Any

from h2o_wave import ui

from llm_studio.config import PRESETS, settings_by_path
from llm_studio.ui import build, form, text, words
from llm_studio.ui.page import Card
from llm_studio.ui.pages import new_fit
from llm_studio.ui.pages.new_data import Data
from llm_studio.ui.pages.new_fields import FIRST, IN_THE_BAR, SECTIONS, dataset_card, first_card, section_card
from llm_studio.ui.pages.new_state import Chosen


def cards(data: Data) -> Iterator[Card]:
    """The whole page."""
    if data.chosen is None:
        yield from empty_cards()
        return
    infos = settings_by_path()
    chosen = data.chosen
    shown = form.shown_paths(infos, chosen.form, level=chosen.level, search=chosen.search, always=FIRST)
    yield bar_card(data, chosen)
    yield choices_card(data, chosen, len(shown))
    yield from new_fit.cards(data.fit, device_title(data.device))
    yield from remark_cards(data, chosen)
    yield sections_card(data, chosen, shown)
    if shown & set(FIRST):
        yield first_card(data, chosen, shown)
    for name in SECTIONS:
        paths = [path for path, info in infos.items() if info.section == name and path not in (*FIRST, *IN_THE_BAR)]
        if shown & set(paths):
            yield section_card(name, paths, chosen, shown)
    if not chosen.search.strip():
        yield dataset_card(data)


def empty_cards() -> Iterator[Card]:
    """There is nothing to learn from yet."""
    yield build.header("New experiment")
    said = (
        "An experiment teaches a model from rows of prompts and answers. Import a file of your own, or one of the "
        "bundled samples: that takes a minute."
    )
    yield build.form("main", "empty_page", build.empty(said, "Import data", "#import"))


def bar_card(data: Data, chosen: Chosen) -> Card:
    """Title, estimate, YAML and Start; stays in sight while the settings scroll."""
    count = words.plural(len(data.errors), "error")
    wrong = build.status_tag("failed", count) if data.errors else ""
    subtitle = f'<p class="ls-subtitle">New from {text.markup(data.origin_name)}</p>' if data.origin_name else ""
    title = f'<h1 class="ls-title">New experiment{wrong}</h1>{subtitle}'
    items = [
        ui.markup(name="page_title", content=title),
        ui.inline(
            justify="end",
            items=[
                ui.markup(name="estimate", content=estimate_markup(data)),
                build.button("yaml", "YAML"),
                new_fit.button(data.fit),
                build.primary("start", "Start"),
            ],
        ),
    ]
    return Card("top", "new_bar", ui.form_card(box="", items=[ui.inline(items=items, justify="between")]))


def estimate_markup(data: Data) -> str:
    """Time and memory, called what they are; the reasoning on hover. What was measured takes the place of it."""
    if measured := new_fit.bar_markup(data.fit, device_title(data.device)):
        return measured
    if data.estimate is None:
        return '<p class="ls-estimate">Estimate: not known yet</p>'
    reasons = text.markup("\n".join(["An estimate by arithmetic, not measured.", *data.estimate.reasons]))
    own = f" of {words.size(data.memory_bytes)}" if data.memory_bytes else ""
    device = device_title(data.device)
    time = text.markup(words.about(data.estimate.seconds))
    return (
        f'<p class="ls-estimate" title="{reasons}">Estimate: <b>{time}</b> · '
        f"<b>{text.markup(words.size(data.estimate.memory_bytes))}</b>{text.markup(own)} memory · {device}</p>"
    )


def device_title(device: str) -> str:
    """What people call it."""
    return "GPU" if device.startswith("cuda") else "CPU"


def choices_card(data: Data, chosen: Chosen, count: int) -> Card:
    """Name, preset, level and search."""
    infos = settings_by_path()
    name = infos["experiment_name"]
    every = sum(1 for info in infos.values() if info.path not in IN_THE_BAR)
    helps = " ".join(f"{preset.title}: {preset.help}" for preset in PRESETS.values())
    items = [
        ui.textbox(
            name=f"{form.SET}/experiment_name",
            label="Name",
            value=str(chosen.form.entered.get("experiment_name", chosen.form.base["experiment_name"])),
            tooltip=name.help,
            error=next((finding.what for finding in data.findings if finding.path == "experiment_name"), None),
            trigger=True,
        ),
        ui.dropdown(
            name="preset",
            label="Preset",
            value=chosen.preset,
            choices=[ui.choice(key, preset.title) for key, preset in PRESETS.items()],
            tooltip=f"{helps} Your own changes stay.",
            trigger=True,
        ),
        ui.dropdown(
            name="level",
            label="Settings shown",
            value=chosen.level,
            choices=[ui.choice(level, level.capitalize()) for level in form.LEVELS],
            tooltip="Basic shows the few that matter, Expert shows all. What you changed is always shown.",
            trigger=True,
        ),
        ui.textbox(
            name="search",
            label=f"Search {every} settings",
            value=chosen.search,
            placeholder="lora, seed, memory",
            icon="Search",
            tooltip="Finds settings of every level by name, title and description.",
            trigger=True,
        ),
    ]
    card = [ui.inline(items=items, align="start")]
    return Card("top", "new_choices", ui.form_card(box="", items=card))


def remark_cards(data: Data, chosen: Chosen) -> Iterator[Card]:
    """What stands in the way of a start, what is doubtful, and what a YAML file brought."""
    bars = [build.finding_bar(one.level, one.what, where=one.where, fix=one.fix) for one in data.remarks]
    if bars:
        yield build.form("top", "remarks", bars)
    if chosen.report:
        yield build.form("top", "yaml_report", report_items(chosen.report))


def report_items(report: Any) -> list[Any]:
    """What became of the lines of a YAML file."""
    parts = []
    titles = {
        "taken": "taken over",
        "renamed": "renamed",
        "replaced": "replaced by our own value",
        "unknown": "unknown here",
    }
    for key, title in titles.items():
        lines = report.get(key, ())
        if lines:
            rows = "".join(f"<li>{text.markup(line)}</li>" for line in lines)
            opened = " open" if key in ("replaced", "unknown") and len(lines) <= 8 else ""
            parts.append(
                f'<details class="ls-details"{opened}><summary>{words.plural(len(lines), "line")} {title}</summary>'
                f'<ul class="ls-lines">{rows}</ul></details>'
            )
    name = report.get("name") or "the YAML text"
    return [
        build.row(
            build.heading(
                f"What came from {name}", hint="Nothing was refused; what is missing here has its own value."
            ),
            build.button("hide_report", "Hide"),
            justify="between",
        ),
        ui.markup(name="report_lines", content="".join(parts)),
    ]


def sections_card(data: Data, chosen: Chosen, shown: set[str]) -> Card:
    """The list of sections beside the settings; each jumps there."""
    infos = settings_by_path()
    entries = [("section_first", "First choices", sum(path in shown for path in FIRST))]
    for name, (title, _) in SECTIONS.items():
        count = sum(infos[path].section == name and path not in (*FIRST, *IN_THE_BAR) for path in shown)
        entries.append((f"section_{name}", title, count))
    if not chosen.search.strip():
        entries.append(("section_data", "Data set", 0))
    parts = []
    for target, title, count in entries:
        if count or target == "section_data":
            number = f'<span class="ls-quiet">{count}</span>' if count else ""
            parts.append(
                f'<button type="button" class="ls-jump" data-jump="{target}">{text.markup(title)}{number}</button>'
            )
    hidden = len(infos) - len(IN_THE_BAR) - len(shown)
    if hidden and not chosen.search.strip():
        more = {"basic": "Advanced and Expert show more.", "advanced": "Expert shows more."}.get(chosen.level, "")
        parts.append(f'<p class="ls-hint">{len(shown)} of {len(shown) + hidden} settings. {more}</p>')
    if not shown:
        parts.append('<p class="ls-hint">No setting matches the search.</p>')
    changed = [path for path in chosen.form.entered if path not in ("experiment_name", "dataset_id", "llm_backbone")]
    items = [
        ui.markup(name="section_list", content=f'<nav class="ls-jumps" aria-label="Sections">{"".join(parts)}</nav>'),
        ui.button(
            name="reset_all",
            label=f"Reset {words.plural(len(changed), 'change')}",
            visible=bool(changed),
            tooltip="All settings go back to what preset and backbone give.",
        ),
    ]
    return build.form("side", "new_sections", items)
