"""The data job that examines a data set: kind "dataset_health"."""

from llm_studio.data.dataset import open_dataset
from llm_studio.data.health.report import examine, save
from llm_studio.data.reading.progress import Report
from llm_studio.store import Home, JobRecord, Store


def run(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, object]:
    """Examines a data set and saves health.json with its rows in the folder. Params of the job: "dataset_id"."""
    folder = home.dataset(str(job.params["dataset_id"]))
    found = examine(open_dataset(folder), report)
    save(found, folder)
    return {"findings": len(found.findings), "conversations": sum(found.looked_at.values())}
