"""The health report of a data set: made in one pass over its conversations, kept beside the data set."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llm_studio.catalog.checks import CHECKS, Check
from llm_studio.data.dataset import Dataset
from llm_studio.data.fixes.personal import PATTERNS, masked
from llm_studio.data.health.findings import SEVERITIES, Checked, Example, Finding, Part, Remedy, rows_in_words
from llm_studio.data.health.watching import PARTS, Context, Seen, Tell, Watch, within
from llm_studio.data.layouts import layout_of

HEALTH = "health.json"
ROWS_FOLDER = "health"
TELL_ROWS = 500
READING_SHARE = 0.85
EXCERPT = 110


@dataclass(frozen=True)
class Report:
    """What all checks found, the gravest first; `fingerprint` is that of the data set that was looked at."""

    fingerprint: str
    made_at: float
    """Seconds since 1970."""
    seconds: float
    looked_at: Mapping[Part, int]
    """Conversations of each part."""
    checks: tuple[Checked, ...]
    findings: tuple[Finding, ...]

    def is_stale(self, dataset: Dataset) -> bool:
        """Whether rows, settings or recipe have changed since."""
        return self.fingerprint != dataset.fingerprint


def context_of(dataset: Dataset) -> Context:
    """What the checks know beforehand."""
    columns = layout_of(dataset.settings).columns(dataset.settings)
    lists = {column.name for column in dataset.column_facts() if column.kind == "list"}
    return Context(
        columns=columns,
        nested=tuple(name for name in columns if name in lists),
        own_file=dataset.split.own_file,
        expects_prompts=dataset.settings.layout != "instruction" or bool(dataset.settings.prompt_column),
    )


def examine(dataset: Dataset, tell: Tell) -> Report:
    """Shows every conversation to every check once; `tell` hears the share done and may raise Cancelled."""
    began = time.time()
    watches = {check: watch_of(check, context_of(dataset)) for check in CHECKS}
    looked = read_through(dataset, list(watches.values()), tell)
    found: list[Finding] = []
    checks = []
    for number, (check, watch) in enumerate(watches.items()):
        start, width = READING_SHARE + (1 - READING_SHARE) * number / len(watches), (1 - READING_SHARE) / len(watches)
        tell(start, f"Checking: {check.title}")
        here = watch.found(looked, within(tell, start, width))
        found += [replace(one, examples=with_excerpts(dataset, one)) for one in here]
        checks.append(outcome(check, sum(looked.values()), len(here)))
    found.sort(key=lambda one: (-SEVERITIES.index(one.severity), -one.share))
    return Report(dataset.fingerprint, began, time.time() - began, looked, tuple(checks), tuple(found))


def watch_of(check: Check, context: Context) -> Watch:
    """A fresh watch of one check."""
    module, _, name = check.function.partition(":")
    made: Watch = getattr(import_module(module), name)(context)
    return made


def read_through(dataset: Dataset, watches: list[Watch], tell: Tell) -> dict[Part, int]:
    """The one pass; gives the number of conversations of each part."""
    looked: dict[Part, int] = dict.fromkeys(PARTS, 0)
    total = max(len(dataset.split.train) + len(dataset.split.validation), 1)
    done = 0
    for part in PARTS:
        for conversation in dataset.iter_conversations(part):
            seen = Seen(part, conversation.row, conversation.messages)
            for watch in watches:
                watch.look(seen)
            looked[part] += 1
            done += 1
            if done % TELL_ROWS == 0:
                tell(READING_SHARE * done / total, f"Reading: {done:,} of {total:,} conversations")
    return looked


def outcome(check: Check, looked: int, findings: int) -> Checked:
    """How a check went, in words."""
    if findings:
        words = f"{findings} finding{'' if findings == 1 else 's'} in {rows_in_words(looked)}."
    else:
        words = f"Passed: no row of {looked:,} {check.looks_for}."
    return Checked(check.name, check.title, looked, findings, words)


def with_excerpts(dataset: Dataset, finding: Finding) -> tuple[Example, ...]:
    """The examples with the beginning of prompt and answer; personal data is masked."""
    rows = sorted(one.row for one in finding.examples)
    texts = {}
    for conversation in dataset.read_rows(finding.part, rows):
        seen = Seen(finding.part, conversation.row, conversation.messages)
        texts[conversation.row] = f"{shortened(seen.prompt)} → {shortened(seen.answer)}"
    return tuple(replace(one, excerpt=texts.get(one.row, "")) for one in finding.examples)


def shortened(text: str) -> str:
    """The first characters on one line."""
    head = " ".join(text[: 4 * EXCERPT].split())
    for one in PATTERNS:
        head = masked(one, head, one.replacement)
    return head if len(head) <= EXCERPT else f"{head[: EXCERPT - 1]}…"


def save(report: Report, folder: Path) -> None:
    """Writes the rows of every finding and then health.json in one step."""
    rows_folder = folder / ROWS_FOLDER
    rows_folder.mkdir(exist_ok=True)
    stored = {
        "fingerprint": report.fingerprint,
        "made_at": report.made_at,
        "seconds": report.seconds,
        "looked_at": dict(report.looked_at),
        "checks": [asdict(one) for one in report.checks],
        "findings": [as_dict(one) for one in report.findings],
    }
    for one in report.findings:
        fresh_rows = rows_folder / f"{one.name}.new.npy"
        np.save(fresh_rows, one.rows, allow_pickle=False)
        fresh_rows.replace(rows_folder / f"{one.name}.npy")
    fresh = folder / f"{HEALTH}.new"
    fresh.write_text(json.dumps(stored, ensure_ascii=False), encoding="utf-8", errors="replace")
    fresh.replace(folder / HEALTH)
    named = {f"{one.name}.npy" for one in report.findings}
    for file in rows_folder.glob("*.npy"):
        if file.name not in named:
            file.unlink(missing_ok=True)


def as_dict(finding: Finding) -> dict[str, object]:
    """All but the rows, ready for JSON."""
    parts = asdict(replace(finding, rows=np.zeros(0, dtype=np.int64)))
    del parts["rows"]
    return parts


def load(folder: Path) -> Report | None:
    """The report that was saved, its rows with it; None before the first one and when writing it was broken off."""
    try:
        return read(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read(folder: Path) -> Report:
    """The report as it was saved.

    Raises:
        OSError, ValueError, KeyError, TypeError: there is none, or it is not whole.
    """
    stored = json.loads((folder / HEALTH).read_text(encoding="utf-8"))
    findings = []
    for one in stored.pop("findings"):
        remedy = Remedy(**one.pop("remedy")) if one["remedy"] else one.pop("remedy")
        examples = tuple(Example(**example) for example in one.pop("examples"))
        rows = rows_of(folder, one["name"])
        if len(rows) != one["count"]:
            raise ValueError(f"{len(rows)} rows of {one['name']} where the report has {one['count']}")
        findings.append(Finding(**one, examples=examples, remedy=remedy, rows=rows))
    checks = tuple(Checked(**one) for one in stored.pop("checks"))
    return Report(**stored, checks=checks, findings=tuple(findings))


def rows_of(folder: Path, name: str) -> npt.NDArray[np.int64]:
    """All rows of a finding, ascending, counted from 0."""
    rows: npt.NDArray[np.int64] = np.load(folder / ROWS_FOLDER / f"{name}.npy", allow_pickle=False)
    return rows
