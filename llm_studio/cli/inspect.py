"""`llm-studio dataset inspect FILE`: layout, columns, counts and findings of a file, and its tokens for a backbone.

Nothing is imported; the same code as the pages looks at the file in a folder that is removed afterwards.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llm_studio.cli.output import open_store, print_json
from llm_studio.errors import UserError
from llm_studio.store import Home, Store

Say = Callable[[float | None, str], None]


def run_inspect(arguments: argparse.Namespace, source: dict[str, str], say: Say) -> int:
    """Prints what was found."""
    store = open_store()
    with tempfile.TemporaryDirectory(prefix="inspect-", dir=store.home.path) as folder:
        found = inspect(store, source, Path(folder), arguments.backbone, say)
    if arguments.json:
        print_json(found)
    else:
        print_found(found)
    return 0


def inspect(store: Store, source: dict[str, str], folder: Path, backbone: str | None, say: Say) -> dict[str, Any]:
    """What is in a file: the report of `dataset inspect --json`."""
    from llm_studio.data.connectors import find_file
    from llm_studio.data.connectors.local import find_trusted
    from llm_studio.data.dataset import READING, open_dataset
    from llm_studio.data.health.report import examine
    from llm_studio.data.jobs import read_source
    from llm_studio.data.prepare import prepare
    from llm_studio.data.reading import Reading

    local = source.get("kind") == "local"
    find = (lambda _, one: find_trusted(one)) if local else find_file
    draft = read_source(store, source, folder, None, say, find)
    reading = Reading.load(folder / READING)
    found: dict[str, Any] = {
        "file": reading.file,
        "format": reading.format,
        "rows": reading.row_count,
        "notes": list(reading.notes),
        "layout": draft.guess.layout,
        "reason": draft.guess.reason,
        "columns": [asdict(column) for column in reading.columns],
        "settings": {name: value for name, value in draft.settings.items() if value not in ("", (), [])},
    }
    try:
        prepared = prepare(folder, draft.dataset_settings(), leave_out=True, report=say)
    except UserError as error:
        return found | {"error": error.as_dict()}
    split = prepared.split
    found |= {
        "train_rows": len(split.train),
        "validation_rows": len(split.validation),
        "unusable": [asdict(problem) for problem in prepared.problems],
    }
    dataset = open_dataset(folder)
    report = examine(dataset, say)
    found["findings"] = [
        {
            "check": one.check,
            "severity": one.severity,
            "part": one.part,
            "what": one.what,
            "fix": one.fix,
            "count": one.count,
            "rows": [example.row + 1 for example in one.examples],
        }
        for one in report.findings
    ]
    found["passed"] = [one.title for one in report.checks if not one.findings]
    if backbone:
        found["tokens"] = token_figures(store.home, dataset, backbone, say)
    return found


def token_figures(home: Home, dataset: Any, backbone: str, say: Say) -> dict[str, Any]:
    """Token lengths and the learned share with a backbone's tokenizer and chat template."""
    import numpy as np

    from llm_studio.config import make_config
    from llm_studio.modeling.backbones import check_backbone
    from llm_studio.modeling.loading import load_tokenizer, quiet
    from llm_studio.tokens.lengths import token_lengths, truncation_curve
    from llm_studio.tokens.making import make_template

    quiet()
    config = make_config({"llm_backbone": backbone})
    facts = check_backbone(backbone)
    template = make_template(load_tokenizer(config), config)
    lengths = token_lengths(
        dataset.folder / "tokens",
        template,
        dataset,
        lambda done, total: say(done / max(total, 1), f"Counting tokens: {done:,} of {total:,} rows"),
    )
    limit = min(config.tokenizer.max_length, facts.context_length or config.tokenizer.max_length)
    at_limit = truncation_curve(lengths, [limit])[0]
    return {
        "backbone": backbone,
        "template": template.source,
        "total": int(lengths.total.sum()),
        "learned_share": round(float(lengths.learned.sum() / max(int(lengths.total.sum()), 1)), 4),
        "mean": round(float(lengths.total.mean()), 1),
        "percentiles": {str(share): int(np.percentile(lengths.total, share)) for share in (50, 95, 99)},
        "longest": int(lengths.total.max()),
        "limit": limit,
        "longer_than_limit": at_limit.rows_cut,
        "learn_nothing_at_limit": [row + 1 for row in at_limit.unlearned[:20]],
    }


def print_found(found: dict[str, Any]) -> None:
    """The same for people."""
    print(f"{found['file']}: {found['format']}, {found['rows']:,} rows")
    for note in found["notes"]:
        print(f"  {note}")
    print(f"Layout: {found['layout']}. {found['reason']}")
    for column in found["columns"]:
        print(f"  {column['name']}: {column['kind']}, {column['missing']:,} missing, {column['empty']:,} empty")
    if error := found.get("error"):
        print(f"It cannot be used as it is. {error['what']}\nWhere: {error['where']}\nFix: {error['fix']}")
        return
    print(f"{found['train_rows']:,} rows to learn from, {found['validation_rows']:,} held out")
    for problem in found["unusable"]:
        print(
            f"  {problem['severity']}: {problem['what']}"
            + (f" ({problem['count']:,} rows)" if problem["count"] else "")
        )
    for one in found["findings"]:
        print(f"  {one['severity']}: {one['what']} {one['fix']}")
    print(f"Passed: {', '.join(found['passed'])}")
    if tokens := found.get("tokens"):
        print(
            f"With {tokens['backbone']}: {tokens['total']:,} tokens, {100 * tokens['learned_share']:.0f} % learned, "
            f"half of the rows up to {tokens['percentiles']['50']:,}, the longest {tokens['longest']:,}; "
            f"{tokens['longer_than_limit']:,} longer than {tokens['limit']:,}"
        )
