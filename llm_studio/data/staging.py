"""An import that is not finished: one folder per import under the home's staging, and the user's choices so far."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from llm_studio.config import DatasetSettings
from llm_studio.data.connectors import SourceFile
from llm_studio.data.dataset import READING, ROWS, VALIDATION, Table
from llm_studio.data.guess import SAMPLE_ROWS, guess_layout
from llm_studio.data.joining import read_files
from llm_studio.data.prepare import VALIDATION_READING
from llm_studio.data.reading import Reading, read_file, rejected_path
from llm_studio.data.reading.progress import Report
from llm_studio.data.splitting.stored_split import write_json
from llm_studio.data.types import Guess
from llm_studio.errors import UserError
from llm_studio.store import Home

DRAFT = "draft.json"


@dataclass(frozen=True)
class Draft:
    """What is chosen so far; `settings` are changes to the defaults of DatasetSettings."""

    name: str
    source: str
    guess: Guess
    settings: dict[str, object]
    leave_out: bool = False

    def dataset_settings(self) -> DatasetSettings:
        """The settings as declared."""
        return make_settings(self.settings)

    def save(self, folder: Path) -> None:
        """Writes draft.json in one step."""
        write_json(folder / DRAFT, asdict(self))

    @classmethod
    def load(cls, folder: Path) -> "Draft":
        """The inverse of `save`."""
        stored = json.loads((folder / DRAFT).read_text(encoding="utf-8"))
        return cls(**{**stored, "guess": Guess(**stored["guess"])})


def make_settings(changes: Mapping[str, object]) -> DatasetSettings:
    """The settings of a data set with these changes to the defaults.

    Raises:
        UserError: an unknown name or a value out of its range.
    """
    try:
        return DatasetSettings.model_validate(dict(changes))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"The setting {name} cannot be {first.get('input')!r}: {first['msg']}.",
            where=name,
            fix="Choose another value.",
        ) from None


def staging_folder(home: Home, job_id: str) -> Path:
    """The folder of one import; two imports never share one."""
    return home.staging / job_id


def discard(home: Home, job_id: str) -> None:
    """Removes what an import has left."""
    shutil.rmtree(staging_folder(home, job_id), ignore_errors=True)


def read_into_staging(
    folder: Path,
    file: SourceFile,
    validation: SourceFile | None,
    description: str,
    report: Report,
    *,
    more: Sequence[SourceFile] = (),
) -> Draft:
    """Reads the data file and the own validation file if there is one, guesses the columns, saves the draft.

    folder: new, or holding what was fetched. more: files whose rows follow those of `file`.

    Raises:
        UserError, Cancelled: there is no folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        reading = read_files((file, *more), folder / ROWS, report)
        reading.save(folder / READING)
        if validation is not None:
            read_file(validation.path, validation.name, folder / VALIDATION, report).save(folder / VALIDATION_READING)
        report(1.0, "Looking at the columns")
        guess = guess_columns(folder, reading, file.settings)
        settings = {"train_dataframe": reading.file, **guess.settings}
        if validation is not None:
            settings |= {"validation_strategy": "custom", "validation_dataframe": validation.name}
        draft = Draft(file.title or Path(file.name).stem, description, guess, settings)
        draft.save(folder)
        return draft
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def add_validation_file(folder: Path, file: SourceFile, report: Report) -> None:
    """Reads a validation file of the user's own into an import whose data file is read already.

    Raises:
        UserError, Cancelled: the import stays as it was.
    """
    Draft.load(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix="validation-") as scratch:
        fresh = Path(scratch) / VALIDATION
        reading = read_file(file.path, file.name, fresh, report)
        reading.save(folder / VALIDATION_READING)
        fresh.replace(folder / VALIDATION)
        rejected_path(folder / VALIDATION).unlink(missing_ok=True)
        if reading.rejected:
            rejected_path(fresh).replace(rejected_path(folder / VALIDATION))
    draft = Draft.load(folder)
    settings = {**draft.settings, "validation_strategy": "custom", "validation_dataframe": file.name}
    replace(draft, settings=settings).save(folder)


def guess_columns(folder: Path, reading: Reading, known: Mapping[str, object]) -> Guess:
    """What the source itself says, else what the first rows look like."""
    if known:
        return Guess(str(known["layout"]), dict(known), "The sample says itself which columns it has.", 1.0)
    rows = [cells for _, cells in Table(folder / ROWS).take(range(min(SAMPLE_ROWS, reading.row_count)))]
    return guess_layout(reading.columns, rows)
