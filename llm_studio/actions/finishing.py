"""Makes a data set of a draft, and a new split of new settings: in a data job for pages, in place for a command."""

import secrets
from pathlib import Path

from llm_studio.config import DatasetSettings
from llm_studio.data.dataset import READING, VALIDATION
from llm_studio.data.prepare import VALIDATION_READING, has_own_validation, prepare, preview
from llm_studio.data.reading import Reading
from llm_studio.data.reading.progress import Report
from llm_studio.data.refusals import refusal
from llm_studio.data.splitting.stored_split import load_split
from llm_studio.data.staging import DRAFT, Draft, staging_folder
from llm_studio.errors import UserError
from llm_studio.store import DatasetRecord, ExperimentRecord, Home, JobRecord, Store

FINISH, UPDATE, HEALTH = "import_finish", "dataset_update", "dataset_health"


def quiet(share: float | None, words: str) -> None:
    """Hears how far it is and says nothing."""


def start_finish(
    store: Store, import_id: str, *, name: str, settings: DatasetSettings, leave_out: bool = False
) -> JobRecord:
    """Asks for the data set; a job checks all rows, splits them and moves the folder into place.

    Raises:
        UserError: the file is still being read; a name that is empty, too long or taken; settings that do not fit, or
            rows without consent to leave them out, as far as the preview knows.
    """
    folder = staging_folder(store.home, import_id)
    if not (folder / DRAFT).is_file():
        raise UserError("The file is still being read.", where="import", fix="Wait until it is read.")
    check_preview(folder, settings, leave_out=leave_out)
    params = {
        "import": import_id,
        "dataset_id": secrets.token_hex(5),
        "name": free_name(store, name),
        "settings": settings.model_dump(mode="json"),
        "leave_out": leave_out,
    }
    active = store.jobs.list(kind=FINISH, subject=import_id, active=True)
    return active[0] if active else store.jobs.create(FINISH, params, subject=import_id)


def check_preview(folder: Path, settings: DatasetSettings, *, leave_out: bool) -> None:
    """What the first rows tell already, so that the user need not wait for the job to hear it.

    Raises:
        UserError: settings that do not fit, or rows without consent to leave them out.
    """
    shown = preview(folder, settings)
    unusable = [problem for problem in shown.problems if problem.severity == "leaves out"]
    if unusable and not leave_out:
        raise refusal(unusable, shown.checked_rows)


def newest_job(store: Store, kind: str, subject: str) -> JobRecord | None:
    """The newest job of a kind about an import or a data set."""
    return max(store.jobs.list(kind=kind, subject=subject), key=lambda job: job.created_at, default=None)


def run_finish(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, object]:
    """The work of `start_finish`; may be done again from its beginning after it was interrupted anywhere."""
    params = job.params
    record = make_dataset(
        store,
        staging_folder(home, str(params["import"])),
        dataset_id=str(params["dataset_id"]),
        name=str(params["name"]),
        settings=DatasetSettings.model_validate(params["settings"]),
        leave_out=bool(params["leave_out"]),
        report=report,
    )
    return {"dataset_id": record.id}


def make_dataset(
    store: Store,
    folder: Path,
    *,
    name: str,
    settings: DatasetSettings,
    dataset_id: str = "",
    leave_out: bool = False,
    report: Report = quiet,
) -> DatasetRecord:
    """Checks all rows of a staging folder, splits, moves it into place and writes the row; or changes nothing.

    Raises:
        UserError: a name that is empty, too long or taken; settings that do not fit; rows that cannot be used and no
            consent to leave them out.
        Cancelled: from `report`, which is not asked any more once the folder is in place.
    """
    dataset_id = dataset_id or secrets.token_hex(5)
    target = store.home.dataset(dataset_id)
    if not target.is_dir():
        name = free_name(store, name)
        prepare(folder, settings, leave_out=leave_out, report=report)
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
    elif any(record.id == dataset_id for record in store.datasets.list()):
        return store.datasets.get(dataset_id)
    split = load_split(target)
    unused = {VALIDATION, VALIDATION_READING} if not has_own_validation(target, settings) else set()
    try:
        record = store.datasets.create(
            id=dataset_id,
            name=name,
            row_count=Reading.load(target / READING).row_count,
            train_rows=len(split.train),
            validation_rows=len(split.validation),
            settings=settings.model_dump(mode="json"),
            fingerprint=split.fingerprint,
            source=Draft.load(target).source,
            size_bytes=sum(
                path.stat().st_size for path in target.iterdir() if path.is_file() and path.name not in unused
            ),
            problem_type="causal_lm",
        )
    except BaseException:
        target.rename(folder)
        raise
    for left in (DRAFT, *unused):
        (target / left).unlink(missing_ok=True)
    start_counting(store, dataset_id)
    start_health(store, dataset_id)
    return record


def start_health(store: Store, dataset_id: str) -> JobRecord:
    """Makes the health report (anew), unless a job waits to do so."""
    waiting = [job for job in store.jobs.list(kind=HEALTH, subject=dataset_id, active=True) if job.status == "queued"]
    return waiting[0] if waiting else store.jobs.create(HEALTH, {"dataset_id": dataset_id}, subject=dataset_id)


def start_counting(store: Store, dataset_id: str, *, tokenizer: str = "", name: str = "") -> JobRecord:
    """Counts the statistics (anew), unless that is under way. tokenizer: a folder; the bundled backbone's if empty."""
    active = store.jobs.list(kind="dataset_statistics", subject=dataset_id, active=True)
    params = {"dataset_id": dataset_id} | ({"tokenizer": tokenizer, "tokenizer_name": name} if tokenizer else {})
    return active[0] if active else store.jobs.create("dataset_statistics", params, subject=dataset_id)


def used_by(store: Store, dataset_id: str) -> tuple[ExperimentRecord, ...]:
    """The experiments that learned, learn or will learn from a data set."""
    return tuple(record for record in store.experiments.list() if record.dataset_id == dataset_id)


def free_name(store: Store, name: str, *, keep: str = "") -> str:
    """The name without outer white space.

    Raises:
        UserError: it is empty, longer than 80 characters, or another data set has it (`keep` is the id of our own).
    """
    name = name.strip()
    if not 1 <= len(name) <= 80:
        raise UserError(
            f"The name has {len(name)} characters; 1 to 80 are allowed.",
            where="Name",
            fix="Type a shorter name." if name else "Type a name.",
        )
    if any(record.name.casefold() == name.casefold() and record.id != keep for record in store.datasets.list()):
        raise UserError(f"There is a data set called {name} already.", where="Name", fix="Choose another name.")
    return name


def unused_name(store: Store, name: str) -> str:
    """The name, or with 2, 3, ... behind it where it is taken."""
    taken = {record.name.casefold() for record in store.datasets.list()}
    base = name.strip()[:74] or "data set"
    candidates = (base if number == 1 else f"{base} {number}" for number in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if candidate.casefold() not in taken)
