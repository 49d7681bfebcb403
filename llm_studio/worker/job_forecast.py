"""Tells, as an experiment begins, what it will take: from a pre-flight of the last hour, else measured on the spot."""

from pathlib import Path

from llm_studio.actions.judging import judge_identity
from llm_studio.actions.preflight import figures_of, forecast_of, key_of
from llm_studio.config.facts import BackboneFacts
from llm_studio.errors import UserError
from llm_studio.store import Store
from llm_studio.store.charts_db import ChartsDb
from llm_studio.training.forecast import Forecast, Measured
from llm_studio.training.forecast_words import advice, duration, sentences
from llm_studio.worker.job_answers import estimated
from llm_studio.worker.job_reporting import Reporter
from llm_studio.worker.preflight import Subject, measure
from llm_studio.worker.preflight_saving import undisturbed

SHORT_SECONDS = 60.0
"""An experiment that is estimated to be shorter is not measured: that would take more time than it tells."""
KIND = "forecast"
FOLDER = "preflight"


def forecast_for(
    store: Store,
    subject: Subject,
    facts: BackboneFacts,
    folder: Path,
    reporter: Reporter,
    *,
    fingerprint: str,
    start_seconds: float,
) -> Forecast | None:
    """Forecast the experiment in `folder`, write it to its charts and log; None when it is too short to be measured.

    Weights, gradients and random numbers are as before afterwards. fingerprint: of the data set. start_seconds: since
    the process began, without the scores of the untouched backbone.

    Raises:
        Cancelled: the user asked to stop.
    """
    judge = judge_identity(store, subject.config)
    key = key_of(subject.config, fingerprint=fingerprint, device=subject.device, context_length=None, judge=judge)
    measured = figures_of(store, key)
    source = "the check of these settings"
    if measured is None:
        expected = estimated(subject.config, facts, subject.samples, len(subject.questions), subject.device).seconds
        if expected < SHORT_SECONDS:
            reporter.note(
                f"No forecast: by the estimate this takes {duration(expected)}, too short for measuring to pay off."
            )
            return None
        reporter.phase("Measuring a few steps")
        source = "a few steps, measured now"
        try:
            with undisturbed(subject.model, folder / FOLDER):
                measured = measure(
                    subject,
                    folder / FOLDER / "tried",
                    start_seconds=start_seconds,
                    tell=reporter.detail,
                    should_stop=reporter.should_stop,
                )
        except UserError as error:
            reporter.note(f"No forecast: a few steps could not be measured. {error.what}")
            return None
        finally:
            remove(folder / FOLDER)
        store.preflights.put(key, measured.as_dict())
    found = forecast_of(store, measured, subject.config)
    tell(found, measured, subject, reporter, source)
    return found


def tell(found: Forecast, measured: Measured, subject: Subject, reporter: Reporter, source: str) -> None:
    """A row of the charts, and the log."""
    words = " ".join(sentences(found, subject.config))
    changes = advice(found, measured, subject.config)
    reporter.charts.append(
        KIND,
        {
            "text": words,
            "advice": list(changes),
            "seconds": found.seconds,
            "training_seconds": found.training_seconds,
            "scoring_seconds": found.scoring_seconds,
            "step_seconds": found.step_seconds,
            "memory_bytes": found.memory_bytes,
            "disk_bytes": found.disk_bytes,
            "fits": found.fits,
        },
    )
    reporter.say(f"Forecast from {source}: {words}")
    for change in changes:
        reporter.say(f"What would help: {change}")


def is_told(charts: ChartsDb) -> bool:
    """Whether an earlier part of the experiment has its forecast."""
    return bool(charts.read(kinds=(KIND,)))


def remove(folder: Path) -> None:
    """The folder itself; what was in it is gone already."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
