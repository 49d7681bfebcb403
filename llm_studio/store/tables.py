"""The tables of the studio's database; each has the columns of its record, by the same names."""

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, MetaData, String, Table

metadata = MetaData()


def name_column() -> Column[str]:
    """A name is unique in its table, whatever the case of its letters."""
    return Column("name", String(80, collation="NOCASE"), nullable=False, unique=True)


schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

datasets = Table(
    "datasets",
    metadata,
    Column("id", String(40), primary_key=True),
    name_column(),
    Column("created_at", Float, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("train_rows", Integer, nullable=False),
    Column("validation_rows", Integer, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("source", String, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("problem_type", String, nullable=False),
)

experiments = Table(
    "experiments",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("number", Integer, nullable=False),
    name_column(),
    Column("dataset_id", String(40), nullable=False, index=True),
    Column("dataset_name", String(80), nullable=False),
    Column("dataset_fingerprint", String, nullable=False),
    Column("problem_type", String, nullable=False),
    Column("backbone", String, nullable=False),
    Column("device", String, nullable=False),
    Column("status", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("queue_position", Integer),
    Column("progress", Float, nullable=False, default=0.0),
    Column("eta_seconds", Float),
    Column("phase", String, nullable=False, default=""),
    Column("error", JSON(none_as_null=True)),
    Column("scores", JSON, nullable=False),
    Column("stop_requested", Boolean, nullable=False, default=False),
    Column("pid", Integer),
    Column("pid_started_at", Float),
    Column("started_by", String, nullable=False, default="studio"),
    Column("continued_from", String(40)),
    Column("continued_what", String),
    Column("continued_which", String),
    Column("tags", JSON, nullable=False),
    Index("experiments_queue", "status", "queue_position"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("params", JSON, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("progress", Float),
    Column("message", String, nullable=False, default=""),
    Column("result", JSON(none_as_null=True)),
    Column("error", JSON(none_as_null=True)),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("cancel_requested_at", Float),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("pid", Integer),
    Column("pid_started_at", Float),
    Index("jobs_subject", "kind", "subject"),
)

servers = Table(
    "servers",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("experiment_id", String(40)),
    Column("backbone", String, nullable=False),
    Column("device", String, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("phase", String, nullable=False, default=""),
    Column("port", Integer),
    Column("api_key", String, nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("stop_requested", Boolean, nullable=False, default=False),
    Column("created_at", Float, nullable=False),
    Column("last_used_at", Float, nullable=False),
    Column("pid", Integer),
    Column("pid_started_at", Float),
)

leases = Table(
    "leases",
    metadata,
    Column("device", String, primary_key=True),
    Column("holder_kind", String, nullable=False),
    Column("holder_id", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_started_at", Float, nullable=False),
    Column("since", Float, nullable=False),
)

chats = Table(
    "chats",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("experiment_id", String(40), nullable=False, index=True),
    Column("title", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("messages", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
)

preferences = Table(
    "preferences", metadata, Column("key", String, primary_key=True), Column("value", JSON, nullable=False)
)
