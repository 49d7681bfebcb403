"""What the page of a new experiment shows, read once for each drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from llm_studio.actions.devices import Device
from llm_studio.config import Estimate, Finding, settings_by_path
from llm_studio.modeling.backbones import Backbone
from llm_studio.store import DatasetRecord, JobRecord
from llm_studio.ui.pages.new_backbone import Looked
from llm_studio.ui.pages.new_fit import NOTHING, Fit
from llm_studio.ui.pages.new_state import Chosen

NOT_LOOKED = Looked()


@dataclass(frozen=True)
class Remark:
    """An error stops a start, a warning does not, a note only tells. where: the title of the setting."""

    level: Literal["error", "warning", "note"]
    what: str
    where: str
    fix: str


@dataclass(frozen=True)
class Data:
    """chosen None: there is no data set yet. looked: what is known of the backbone. findings: of the config as a whole.

    memory_bytes: of the device that the config means. origin_name: of the experiment that this one is taken from.
    counting: the job that counts tokens with the chosen backbone, while it works. fit: the check before a start.
    """

    datasets: Sequence[DatasetRecord] = ()
    chosen: Chosen | None = None
    dataset: DatasetRecord | None = None
    backbones: Sequence[Backbone] = ()
    looked: Looked = NOT_LOOKED
    findings: Sequence[Finding] = ()
    estimate: Estimate | None = None
    memory_bytes: int = 0
    device: str = "cpu"
    devices: Sequence[Device] = ()
    origin_name: str = ""
    counting: JobRecord | None = None
    fit: Fit = NOTHING

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """Wrong values, a backbone that cannot be used, and findings; errors first."""
        infos = settings_by_path()
        found = []
        if self.chosen is not None:
            for path, problem in self.chosen.form.problems.items():
                found.append(Remark("error", problem.what, infos[path].title, problem.fix))
        if self.looked.problem is not None:
            problem_of_it = self.looked.problem
            found.append(Remark("error", problem_of_it.what, "Backbone", problem_of_it.fix))
        for finding in self.findings:
            title = infos[finding.path].title if finding.path in infos else finding.path
            found.append(Remark(finding.level, finding.what, title, finding.fix))
        return tuple(sorted(found, key=lambda remark: ("error", "warning", "note").index(remark.level)))

    @property
    def errors(self) -> tuple[Remark, ...]:
        """What stands in the way of a start."""
        return tuple(remark for remark in self.remarks if remark.level == "error")
