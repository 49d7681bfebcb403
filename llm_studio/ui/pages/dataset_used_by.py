"""The experiments that use a data set."""

from llm_studio.actions.datasets import DatasetView
from llm_studio.ui import build, words
from llm_studio.ui.page import Card, Context, go
from llm_studio.ui.tables import Column, Row, table


def load(ctx: Context, view: DatasetView) -> None:
    """The view has all of it."""


def refresh_seconds(view: DatasetView, body: None) -> float | None:
    """Experiments go on by themselves."""
    return 1.0


def cards(view: DatasetView, body: None) -> list[Card]:
    """The experiments on this data set."""
    if not view.experiments:
        items = build.empty("No experiment uses this data set yet.", "New experiment", f"#new/{view.record.id}")
        return [build.form("main", "used_by_card", items)]
    columns = [
        Column(name="name", label="Experiment", kind="link", width="220px"),
        Column(name="status", label="Status", kind="status", width="110px"),
        Column(name="backbone", label="Backbone", width="180px"),
        Column(name="rows", label="Split", width="150px"),
        Column(name="started", label="Started", width="120px"),
    ]
    rows = [
        Row(
            name=one.id,
            cells={
                "name": one.name,
                "status": one.status,
                "backbone": one.backbone,
                "rows": "as it is now" if one.dataset_fingerprint == view.record.fingerprint else "an earlier one",
                "started": words.ago(one.started_at or one.created_at),
            },
        )
        for one in view.experiments
    ]
    return [build.form("main", "used_by_card", [table("experiments", columns, rows)])]


ACTIONS = {"experiments": lambda ctx, args, event: go(f"#experiment/{event.target}")}
