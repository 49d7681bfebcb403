"""What the store hands out: frozen records, one class per table; times are epoch seconds, sizes are bytes."""

from dataclasses import dataclass
from typing import Any, Literal

ExperimentStatus = Literal["queued", "running", "finished", "stopped", "failed"]
JobStatus = Literal["queued", "running", "done", "failed", "cancelled"]
ServerStatus = Literal["queued", "loading", "ready", "failed", "stopped"]
Scores = dict[str, dict[str, Any]]  # {"before" | "last" | "best": {metric: value}}


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """A data set; its rows are in the folder of its id."""

    id: str
    name: str
    created_at: float
    row_count: int
    train_rows: int
    validation_rows: int
    settings: dict[str, Any]
    fingerprint: str
    source: str
    size_bytes: int
    problem_type: str


@dataclass(frozen=True, kw_only=True)
class ExperimentRecord:
    """An experiment; its config, log, charts, predictions and checkpoints are in the folder of its id.

    phase: what happens now, in words for the user. progress in [0, 1]. error: the parts of a UserError.
    number: counts up with every experiment; gives it its colour in all charts. started_by: who started its process and
    stops it in the end, the studio or `llm-studio train`.
    queue_position: grows with every start; only the order counts. continued_from: id of the experiment whose weights
    this one started from.
    """

    id: str
    number: int
    name: str
    dataset_id: str
    dataset_name: str
    dataset_fingerprint: str
    problem_type: str
    backbone: str
    device: str
    status: ExperimentStatus
    created_at: float
    started_at: float | None
    ended_at: float | None
    queue_position: int | None
    progress: float
    eta_seconds: float | None
    phase: str
    error: dict[str, str] | None
    scores: Scores
    stop_requested: bool
    pid: int | None
    pid_started_at: float | None
    started_by: Literal["studio", "command"]
    continued_from: str | None
    tags: list[str]


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """A data job: reading a file, counting, exporting. progress in [0, 1], None when it cannot be known."""

    id: str
    kind: str
    subject: str
    params: dict[str, Any]
    status: JobStatus
    progress: float | None
    message: str
    result: dict[str, Any] | None
    error: dict[str, str] | None
    cancel_requested: bool
    cancel_requested_at: float | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    pid: int | None
    pid_started_at: float | None


@dataclass(frozen=True, kw_only=True)
class ServerRecord:
    """One loaded model for chat. experiment_id None: the plain backbone. phase: what happens now, in words."""

    id: str
    experiment_id: str | None
    backbone: str
    device: str
    status: ServerStatus
    phase: str
    port: int | None
    api_key: str
    error: dict[str, str] | None
    stop_requested: bool
    created_at: float
    last_used_at: float
    pid: int | None
    pid_started_at: float | None


@dataclass(frozen=True, kw_only=True)
class LeaseRecord:
    """Who uses a device. holder_kind: experiment, server, preflight, supervisor."""

    device: str
    holder_kind: str
    holder_id: str
    pid: int
    pid_started_at: float
    since: float


@dataclass(frozen=True, kw_only=True)
class ChatRecord:
    """A conversation with a model; messages are {"role", "content"}."""

    id: str
    experiment_id: str
    title: str
    created_at: float
    messages: list[dict[str, str]]
    settings: dict[str, Any]
