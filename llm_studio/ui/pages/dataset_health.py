"""The health report of a data set: findings with rows and fixes, what has passed, and the fixes that were made."""

from dataclasses import dataclass
from typing import Any

from h2o_wave import ui

from llm_studio.actions import datasets as actions
from llm_studio.actions import health as verbs
from llm_studio.actions.datasets import DatasetView, is_active
from llm_studio.actions.health import Health
from llm_studio.data.fixes.recipe import Step
from llm_studio.data.health.findings import Finding
from llm_studio.data.health.report import Report
from llm_studio.ui import build, text, words
from llm_studio.ui.page import Card, Context, Event, Outcome, dialog, panel, stay
from llm_studio.ui.pages.dataset_columns import update_items

LEVELS = {"stops": "error", "warning": "warning", "note": "note"}
SHOWN_EXAMPLES = 3
PARTS = {"train": "rows to learn from", "validation": "validation rows"}
REMEDIES = {
    "drop": "Leave these rows out",
    "deduplicate": "Keep only the first of each",
    "trim": "Remove the white space",
    "replace": "Mask it",
    "repair": "Repair the text",
}
STEPS = {
    "drop": "Rows left out",
    "deduplicate": "Repeated rows left out",
    "trim": "Outer white space removed",
    "replace": "Text replaced",
    "repair": "Damaged text repaired",
}


@dataclass(frozen=True)
class Body:
    """health: what is known. steps: the fixes that were made, the oldest first. busy: an experiment uses the rows."""

    health: Health
    steps: tuple[Step, ...]
    busy: str


def load(ctx: Context, view: DatasetView) -> Body:
    """The report and the recipe; a report that is missing or stale is asked for."""
    found = view.health
    idle = found.job is None or not (is_active(found.job) or found.job.status in ("failed", "cancelled"))
    if (found.report is None or found.stale) and idle and not is_active(view.updating):
        verbs.examine(ctx.store, view.record.id)
        found = verbs.health_of(ctx.store, view.dataset)
    busy = next((one.name for one in view.experiments if one.status in ("queued", "running")), "")
    return Body(found, view.dataset.recipe.steps, busy)


def refresh_seconds(view: DatasetView, body: Body) -> float | None:
    """While a job works."""
    return 0.5 if is_active(body.health.job) or is_active(view.updating) else None


def cards(view: DatasetView, body: Body) -> list[Card]:
    """Progress, findings, fixes that were made, what has passed."""
    items: list[Any] = update_items(view.updating)
    job = body.health.job
    if job is not None and is_active(job):
        message = job.message or "Waiting for the worker to start"
        items += build.progress("examining", message, job.progress, cancel=f"cancel_job/{job.id}")
    elif job is not None and job.status in ("failed", "cancelled"):
        if job.status == "failed":
            items.append(build.error_bar(job.error or {}, name="health_error"))
        items.append(build.row(build.paragraph("The report is not made."), build.button("examine", "Examine the rows")))
    found: list[Card] = [build.form("top", "health_now", items)] if items else []
    report = body.health.report
    if report is None:
        return found
    locked = body.health.stale or is_active(view.updating) or bool(body.busy)
    found.append(build.stats("health_tiles", tiles(report)))
    found += [finding_card(one, locked=locked, busy=body.busy) for one in report.findings]
    if not report.findings:
        said = "Nothing was found that would spoil the training."
        found.append(build.form("main", "health_clean", [build.finding_bar("success", said, name="health_success")]))
    if body.steps:
        found.append(build.form("side", "health_steps", step_items(body.steps, locked=locked)))
    found.append(build.form("side", "health_passed", passed_items(report)))
    return found


def tiles(report: Report) -> list[tuple[str, str, str]]:
    """How much was looked at, and how grave what was found is."""
    counts = {level: sum(one.severity == level for one in report.findings) for level in LEVELS}
    return [
        ("Looked at", words.plural(sum(report.looked_at.values()), "conversation"), words.ago(report.made_at)),
        ("Stops a start", words.count(counts["stops"]), ""),
        ("Warnings", words.count(counts["warning"]), ""),
        ("Notes", words.count(counts["note"]), ""),
        ("Passed", words.count(sum(not one.findings for one in report.checks)), f"of {len(report.checks)} checks"),
    ]


def finding_card(finding: Finding, *, locked: bool, busy: str) -> Card:
    """One finding: what, why, some rows, and the fix."""
    bar = build.finding_bar(
        LEVELS[finding.severity],
        finding.what,
        where=PARTS[finding.part],
        fix=finding.fix,
        name=f"finding_{finding.name}",
    )
    items: list[Any] = [bar, build.paragraph(finding.why, quiet=True)]
    items.append(ui.markup(name=f"examples_{finding.name}", content=examples_markup(finding, SHOWN_EXAMPLES)))
    buttons = []
    if finding.remedy is not None:
        label = REMEDIES.get(finding.remedy.kind, "Fix")
        buttons.append(build.button(f"ask_fix/{finding.name}", label, disabled=locked))
    if len(finding.examples) > SHOWN_EXAMPLES:
        buttons.append(build.button(f"all_examples/{finding.name}", f"Show {len(finding.examples)} rows"))
    if buttons:
        items.append(build.row(*buttons))
    if busy and finding.remedy is not None:
        items.append(build.paragraph(f"{busy} uses these rows now; they can be changed when it has ended.", quiet=True))
    return build.form("main", f"health_{finding.name}".replace("-", "_"), items)


def examples_markup(finding: Finding, most: int) -> str:
    """Some rows: number, excerpt, reason."""
    lines = "".join(
        f'<li><span class="ls-quiet">Row {example.row + 1:,}</span> {text.markup(example.excerpt)}'
        f'<p class="ls-hint">{text.markup(example.reason)}</p></li>'
        for example in finding.examples[:most]
    )
    return f'<ul class="ls-examples">{lines}</ul>'


def step_items(steps: tuple[Step, ...], *, locked: bool) -> list[Any]:
    """The recipe: what was done to the rows, each with its way back."""
    items: list[Any] = [build.heading("Fixes made", hint="The imported rows are kept; each fix can be undone.")]
    for index, step in enumerate(steps):
        line = f'<p class="ls-text"><b>{text.markup(STEPS[step.kind])}</b></p>'
        said = f"{step.why} {words.plural(step.rows_changed, 'row')}, {words.ago(step.made_at)}"
        line += f'<p class="ls-hint">{text.markup(said)}</p>'
        undo = build.button(f"undo_fix/{index}", "Undo", disabled=locked)
        items.append(build.row(ui.markup(name=f"step_{index}", content=line), undo, justify="between"))
    return items


def passed_items(report: Report) -> list[Any]:
    """The checks that found nothing."""
    passed = [one for one in report.checks if not one.findings]
    lines = "".join(
        f"<li><b>{text.markup(one.title)}</b> {text.markup(one.words.removeprefix('Passed: '))}</li>" for one in passed
    )
    hint = "What was looked for and not found."
    return [build.heading("Passed", hint=hint), ui.markup(name="passed", content=f'<ul class="ls-passed">{lines}</ul>')]


def examine(ctx: Context, args: tuple[str, ...], event: Event) -> None:
    """Asks for the report."""
    verbs.examine(ctx.store, args[0])


def find(ctx: Context, dataset_id: str, name: str) -> Finding | None:
    """A finding of the report."""
    report = verbs.health_of(ctx.store, actions.show(ctx.store, dataset_id).dataset).report
    return next((one for one in report.findings if one.name == name), None) if report else None


def all_examples(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome | None:
    """Shows all rows that the report lists."""
    finding = find(ctx, args[0], event.argument)
    if finding is None:
        return None
    items = [
        ui.markup(name="all_examples", content=examples_markup(finding, len(finding.examples))),
        build.button("close", "Close"),
    ]
    return panel(finding.what, *items)


def ask_fix(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome | None:
    """Says what the fix does and asks once."""
    finding = find(ctx, args[0], event.argument)
    if finding is None or finding.remedy is None:
        return None
    label = REMEDIES.get(finding.remedy.kind, "Fix")
    said = (
        f"{finding.what} {words.plural(len(finding.rows), 'row')} would change. The imported rows are kept and the fix "
        "can be undone; the split is made anew, so later experiments are scored on it."
    )
    return dialog(
        f"{label}?",
        build.paragraph(said),
        build.row(build.primary(f"fix/{finding.name}", label), build.button("close", "Cancel")),
    )


def fix(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Asks for the fix."""
    dataset = actions.show(ctx.store, args[0]).dataset
    verbs.start_fix(ctx.store, args[0], dataset, event.argument)
    return stay("The fix is being made; the rows are checked and split anew.", "info")


def undo_fix(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Takes a fix back."""
    dataset = actions.show(ctx.store, args[0]).dataset
    verbs.start_undo(ctx.store, args[0], dataset, int(event.argument))
    return stay("The fix is being undone; the rows are checked and split anew.", "info")


ACTIONS = {
    "examine": examine,
    "all_examples": all_examples,
    "ask_fix": ask_fix,
    "fix": fix,
    "undo_fix": undo_fix,
}
