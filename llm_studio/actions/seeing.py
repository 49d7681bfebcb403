"""What the model sees of a data set: token lengths and rows as tokens, made by a job for a backbone and a template."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_studio.config import ExperimentConfig, flatten, make_config, settings_by_path
from llm_studio.data.dataset import Part
from llm_studio.store import DatasetRecord, JobRecord, Store
from llm_studio.tokens.lengths import TokenLengths, load_lengths

KIND = "dataset_tokens"
RENDERING = ("dataset.", "environment.huggingface_branch", "environment.trust_remote_code")
"""Settings that change how a row is rendered, beside the backbone itself."""
SHORTENING = ("tokenizer.",)


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known so far. job: the newest one, which may still run or have failed. views: rows as
    `TokenView.as_dict()`, or with "error". max_length: the limit that was used for them."""

    job: JobRecord
    lengths: TokenLengths | None = None
    views: tuple[Mapping[str, Any], ...] = ()
    template: str = ""
    reason: str = ""
    max_length: int = 0


def rendering_settings(config: ExperimentConfig, *prefixes: str) -> dict[str, Any]:
    """The settings under these prefixes that differ from their defaults, by path."""
    infos = settings_by_path()
    defaults = flatten(make_config({}))
    wanted = prefixes or RENDERING
    return {
        path: list(value) if isinstance(value, tuple) else value
        for path, value in flatten(config).items()
        if path.startswith(wanted) and path in infos and value != defaults[path]
    }


def count_lengths(store: Store, dataset: DatasetRecord, config: ExperimentConfig) -> Seen:
    """Token lengths with the backbone and template of a config; the first call starts the job that counts them."""
    params = {
        "dataset_id": dataset.id,
        "fingerprint": dataset.fingerprint,
        "backbone": config.llm_backbone.strip(),
        "settings": rendering_settings(config),
    }
    return seen(job_for(store, dataset.id, params))


def show_rows(store: Store, dataset: DatasetRecord, config: ExperimentConfig, part: Part, rows: Sequence[int]) -> Seen:
    """Some rows as tokens, and the lengths of all; the first call starts the job."""
    params = {
        "dataset_id": dataset.id,
        "fingerprint": dataset.fingerprint,
        "backbone": config.llm_backbone.strip(),
        "settings": rendering_settings(config, *RENDERING, *SHORTENING),
        "rows": list(rows),
        "part": part,
    }
    return seen(job_for(store, dataset.id, params))


def known_lengths(store: Store, dataset: DatasetRecord, config: ExperimentConfig) -> TokenLengths | None:
    """Lengths that some job has counted with this backbone and template, whatever the limit; starts nothing."""
    wanted = {
        "fingerprint": dataset.fingerprint,
        "backbone": config.llm_backbone.strip(),
        "settings": rendering_settings(config),
    }
    for job in store.jobs.list(kind=KIND, subject=dataset.id):
        rendering = {path: value for path, value in job.params["settings"].items() if path.startswith(RENDERING)}
        held = {"fingerprint": job.params["fingerprint"], "backbone": job.params["backbone"], "settings": rendering}
        if job.status == "done" and held == wanted:
            path = (job.result or {}).get("lengths")
            if path and (found := load_lengths(Path(str(path)))) is not None:
                return found
    return None


def job_for(store: Store, dataset_id: str, params: dict[str, Any]) -> JobRecord:
    """The newest job with these parameters, started now when there is none or its files are gone."""
    found = next((job for job in store.jobs.list(kind=KIND, subject=dataset_id) if job.params == params), None)
    if found is not None and (found.status != "done" or files_are_there(found)):
        return found
    return store.jobs.create(KIND, params, subject=dataset_id)


def try_again(store: Store, job_id: str) -> None:
    """Starts a job that failed or was cancelled once more."""
    job = store.jobs.get(job_id)
    if job.status in ("failed", "cancelled"):
        store.jobs.create(KIND, job.params, subject=job.subject)


def files_are_there(job: JobRecord) -> bool:
    """Whether the results of a finished job were not cleared away."""
    result = job.result or {}
    return all(Path(str(result[name])).is_file() for name in ("lengths", "views") if result.get(name))


def seen(job: JobRecord) -> Seen:
    """The results of a job, as far as it is done."""
    if job.status != "done" or not job.result:
        return Seen(job)
    result = job.result
    views: tuple[Mapping[str, Any], ...] = ()
    if result.get("views"):
        views = tuple(json.loads(Path(str(result["views"])).read_text(encoding="utf-8")))
    lengths = load_lengths(Path(str(result["lengths"]))) if result.get("lengths") else None
    return Seen(job, lengths, views, str(result["template"]), str(result["reason"]), int(result["max_length"]))
