"""The check before a start on the page of a new experiment: its button, its progress, and what it found."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from h2o_wave import ui

from llm_studio.actions import preflight
from llm_studio.config import BackboneFacts, ExperimentConfig, Finding
from llm_studio.errors import UserError
from llm_studio.store import DatasetRecord, JobRecord, Store
from llm_studio.training import forecast_words as say
from llm_studio.training.forecast import Forecast, Measured
from llm_studio.ui import build, text, words
from llm_studio.ui.page import Card

CHECK, CANCEL = "check_fit", "cancel_fit"
WHERE = "architecture.backbone_dtype"
HELP = (
    "Takes a few real training steps on the device and tells memory, time and disk of the whole experiment. Takes "
    "seconds for a small model; nothing is kept but the figures."
)


@dataclass(frozen=True)
class Fit:
    """forecast, measured: of these settings, from a check of the last hour. advice: what to change. running: a check
    that goes on, of these settings or (`other`) of some that were changed meanwhile. failed: how the last one ended."""

    forecast: Forecast | None = None
    measured: Measured | None = None
    config: ExperimentConfig | None = None
    running: JobRecord | None = None
    other: bool = False
    failed: JobRecord | None = None

    @property
    def advice(self) -> tuple[str, ...]:
        """What to change; nothing when all is well."""
        if self.forecast is None or self.measured is None or self.config is None:
            return ()
        return say.advice(self.forecast, self.measured, self.config)


NOTHING = Fit()


def load(
    store: Store, dataset: DatasetRecord | None, config: ExperimentConfig, facts: BackboneFacts | None, device: str
) -> Fit:
    """What is known for these settings, and the check that runs."""
    if dataset is None or facts is None:
        return NOTHING
    found = preflight.look(store, dataset, config, device=device, context_length=facts.context_length)
    active = found.job if found.is_running else next(iter(store.jobs.list(kind=preflight.KIND, active=True)), None)
    failed = found.job if found.job is not None and found.job.status == "failed" and found.measured is None else None
    return Fit(
        forecast=preflight.forecast_of(store, found.measured, config) if found.measured else None,
        measured=found.measured,
        config=config,
        running=active,
        other=active is not None and not found.is_running,
        failed=failed,
    )


def findings(fit: Fit) -> tuple[Finding, ...]:
    """A warning when it was measured not to fit."""
    if fit.forecast is None or fit.config is None or fit.forecast.fits:
        return ()
    memory = say.memory_words(fit.forecast, fit.config)
    what = memory if not fit.forecast.fits_memory else say.disk_words(fit.forecast)
    return (Finding("warning", WHERE, what, fit.advice[0] if fit.advice else "Choose a smaller backbone."),)


def start(
    store: Store, dataset: DatasetRecord | None, config: ExperimentConfig, facts: BackboneFacts | None, device: str
) -> None:
    """Asks for a check.

    Raises:
        UserError: there is nothing to check yet, or the device is in use.
    """
    if dataset is None:
        raise UserError("No data set is chosen.", where="Data set", fix="Choose one.")
    if facts is None:
        raise UserError("The backbone is not known yet.", where="Backbone", fix="Wait until it has been looked up.")
    if not store.supervisor_is_alive():
        raise UserError("The studio's worker is not running.", where="Check fit", fix="Start the studio again.")
    preflight.start_check(store, dataset, config, device=device, context_length=facts.context_length)


def cancel(store: Store) -> None:
    """Ends the check that runs."""
    for job in store.jobs.list(kind=preflight.KIND, active=True):
        store.jobs.request_cancel(job.id)


def button(fit: Fit) -> ui.Component:
    """Beside Start; not while a check runs."""
    again = fit.measured is not None
    return build.button(CHECK, "Check again" if again else "Check fit", tooltip=HELP, disabled=fit.running is not None)


def bar_markup(fit: Fit, device: str) -> str:
    """Time and memory as measured, in the place of the estimate; the whole forecast on hover. Empty before a check."""
    if fit.forecast is None or fit.config is None or fit.measured is None:
        return ""
    title = "\n".join([measured_words(fit.measured), *say.sentences(fit.forecast, fit.config)])
    fits = "" if fit.forecast.fits else f" {build.status_tag('failed', 'does not fit')}"
    peak = say.pair(fit.forecast.memory_bytes, fit.forecast.device_bytes)
    return (
        f'<p class="ls-estimate" title="{text.markup(title)}">Measured: '
        f"<b>{text.markup(say.duration(fit.forecast.seconds))}</b> · peak <b>{text.markup(peak)}</b> · "
        f"{text.markup(device)}{fits}</p>"
    )


def cards(fit: Fit, device: str) -> Iterator[Card]:
    """What a check is doing, how it failed, or what it found; nothing before the first one."""
    if fit.running is not None:
        job = fit.running
        what = "Checking the settings as they were before" if fit.other else "Checking whether it fits"
        items = build.progress("fit_progress", f"{what}: {job.message or 'starting'}", job.progress, cancel=CANCEL)
        yield build.form("top", "fit", items)
    elif fit.failed is not None and fit.failed.error is not None:
        yield build.form("top", "fit", [build.error_bar(fit.failed.error, name="fit_error")])
    elif fit.forecast is not None and fit.measured is not None:
        content = result_markup(fit.forecast, fit.measured, fit.advice, device)
        yield build.form("top", "fit", [ui.markup(name="fit_result", content=content)])


def result_markup(found: Forecast, measured: Measured, advice: tuple[str, ...], device: str) -> str:
    """A verdict, the figures as tiles, and what to change."""
    verdict = build.status_tag("finished", "fits") if found.fits else build.status_tag("failed", "does not fit")
    per_step = f"{found.step_seconds:.2g} s" if found.step_seconds < 60 else say.duration(found.step_seconds)
    tiles = [
        ("Peak memory", say.pair(found.memory_bytes, found.device_bytes), device),
        ("Whole experiment", say.duration(found.seconds), f"of it {say.duration(found.start_seconds)} start"),
        ("Training", say.duration(found.training_seconds), f"{say.plural(found.steps, 'step')} of {per_step}"),
        ("Scoring", say.duration(found.scoring_seconds), scoring_words(found)),
        ("Checkpoints", say.size(found.disk_bytes), f"{say.size(found.free_disk_bytes)} of the disk are free"),
    ]
    changes = "".join(f"<li>{text.markup(change)}</li>" for change in advice)
    listed = f'<p class="ls-text">What would help:</p><ul class="ls-lines">{changes}</ul>' if changes else ""
    return (
        f'<h2 class="ls-heading">Check of these settings{verdict}</h2>{build.stats_markup(tiles)}{listed}'
        f'<p class="ls-hint">{text.markup(measured_words(measured))}</p>'
    )


def scoring_words(found: Forecast) -> str:
    """ "3 evaluations, 50 answers each" """
    answers = say.plural(found.generated_rows, "answer")
    return f"{say.plural(found.scored, 'evaluation')}, {answers} each"


def measured_words(measured: Measured) -> str:
    """When and from what, and how long it holds."""
    when = words.ago(measured.measured_at, time.time())
    return (
        f"Measured {when} in {say.plural(measured.steps_timed, 'real step')} on this device; the experiment reuses it "
        "for an hour. Other epochs, learning rates, evaluation intervals and numbers of answers need no new check."
    )
