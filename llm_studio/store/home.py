"""The studio's home: the one folder that holds everything it keeps, and the paths inside it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import platformdirs

from llm_studio.errors import BugError

VARIABLE = "LLM_STUDIO_HOME"


@dataclass(frozen=True)
class Home:
    """Paths of one home. Nothing is made before `create`; names given by users are never part of a path."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path).expanduser().absolute())

    @classmethod
    def default(cls) -> Self:
        """The folder in LLM_STUDIO_HOME, else the platform's folder for a user's data."""
        named = os.environ.get(VARIABLE, "").strip()
        return cls(Path(named) if named else platformdirs.user_data_path("llm-studio"))

    @property
    def database(self) -> Path:
        """All that the pages and the worker share."""
        return self.path / "studio.db"

    @property
    def datasets(self) -> Path:
        """One folder per data set."""
        return self.path / "datasets"

    @property
    def experiments(self) -> Path:
        """One folder per experiment."""
        return self.path / "experiments"

    @property
    def uploads(self) -> Path:
        """Files from the browser until they are imported."""
        return self.path / "uploads"

    @property
    def staging(self) -> Path:
        """Imports that are not finished, one folder per job."""
        return self.path / "staging"

    @property
    def cache(self) -> Path:
        """What can be made again: token ids, scores of untouched backbones."""
        return self.path / "cache"

    @property
    def base_scores(self) -> Path:
        """Scores of untouched backbones, one folder per backbone, rows and way of scoring."""
        return self.cache / "base_scores"

    @property
    def wave(self) -> Path:
        """What the browser server keeps: uploads on their way, its web folder."""
        return self.path / "wave"

    @property
    def run(self) -> Path:
        """Logs of the processes that belong to no experiment."""
        return self.path / "run"

    @property
    def secrets_file(self) -> Path:
        """Secrets, readable by the owner alone, where the system has no keyring."""
        return self.path / "secrets.json"

    def dataset(self, dataset_id: str) -> Path:
        """The folder of one data set."""
        return self.datasets / checked_id(dataset_id)

    def experiment(self, experiment_id: str) -> Path:
        """The folder of one experiment."""
        return self.experiments / checked_id(experiment_id)

    def create(self) -> None:
        """Make the folders; the home itself is open to its owner alone."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.datasets, self.experiments, self.uploads, self.staging, self.cache, self.wave, self.run):
            folder.mkdir(exist_ok=True)


def checked_id(value: str) -> str:
    """The id itself, when it is one that the studio could have made; so no text from an address becomes a path.

    Raises:
        BugError: anything but 1 to 40 letters, digits, "-" and "_".
    """
    if not 1 <= len(value) <= 40 or not all(sign.isascii() and (sign.isalnum() or sign in "-_") for sign in value):
        raise BugError(f"{value[:60]!r} is not an id")
    return value
