"""What the health report of a data set says before a start: what stops it, and how much else is to be looked at."""

from llm_studio.actions.health import Health
from llm_studio.config import Finding
from llm_studio.ui import words

WHERE = "dataset_id"


def findings(health: Health) -> tuple[Finding, ...]:
    """Findings that stop a start as errors, the warnings in one sentence; none while the report is of other rows."""
    if health.report is None or health.stale:
        return ()
    found = [
        Finding("error", WHERE, one.what, f"{one.fix} See the Health page of the data set.")
        for one in health.report.findings
        if one.severity == "stops"
    ]
    warnings = [one for one in health.report.findings if one.severity == "warning"]
    if warnings:
        first = warnings[0].what
        more = f" And {words.plural(len(warnings) - 1, 'more warning')} about this data set." if warnings[1:] else ""
        found.append(Finding("warning", WHERE, f"{first}{more}", "Look at the Health page of the data set."))
    return tuple(found)
