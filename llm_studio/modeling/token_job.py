"""The data job "dataset_tokens": counts token lengths of a data set for a backbone, and shows rows as tokens.

Loads the backbone's tokenizer and never its weights.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_studio.config import make_config
from llm_studio.data.dataset import Dataset, Part, open_dataset
from llm_studio.errors import UserError
from llm_studio.modeling.backbones import check_backbone
from llm_studio.modeling.download import use_token
from llm_studio.modeling.loading import load_tokenizer, quiet
from llm_studio.modeling.portable import Report
from llm_studio.store import Home, JobRecord, Store
from llm_studio.tokens.fingerprints import samples_fingerprint
from llm_studio.tokens.inspect import inspect_conversation
from llm_studio.tokens.lengths import lengths_path, token_lengths
from llm_studio.tokens.making import make_template
from llm_studio.tokens.template import Template

MOST_ROWS = 100


def run(home: Home, store: Store, job: JobRecord, report: Report) -> dict[str, Any]:
    """Params: dataset_id; backbone, as the setting llm_backbone names it; settings, changes by path as in a config
    ("dataset.chat_template", "tokenizer.max_length", ...; optional); rows to show, numbers from 0 in the table of
    part ("train" by default), at most 100 (optional); lengths, whether to count them (true by default).

    Returns template and reason (its source and why); lengths, the path of an .npz (see tokens.lengths), or None; views,
    the path of a JSON list, or None; max_length, the limit that was used: not more than the backbone can read. An entry
    of the list is a TokenView as a dict, or row and error (what, where, fix) for a row that the template refuses.

    Raises:
        UserError: the backbone is not known, a setting is wrong, or, when lengths are counted, the template
            refuses a row.
    """
    quiet()
    params = job.params
    token = store.secrets.get("huggingface_token")
    use_token(token)
    config = make_config({**dict(params.get("settings") or {}), "llm_backbone": str(params["backbone"])})
    trusted, revision = config.environment.trust_remote_code, config.environment.huggingface_branch
    facts = check_backbone(config.llm_backbone, revision=revision, token=token, trust_remote_code=trusted)
    limit = min(config.tokenizer.max_length, facts.context_length or config.tokenizer.max_length)
    config = config.with_changes({"tokenizer.max_length": limit})  # as the training does
    dataset = open_dataset(home.dataset(str(params["dataset_id"])))
    report(None, "Loading the tokenizer")
    template = make_template(load_tokenizer(config), config)
    cache = home.cache / "tokens"
    views = lengths = None
    if rows := [int(row) for row in params.get("rows") or ()]:
        part: Part = "validation" if params.get("part") == "validation" else "train"
        report(None, "Turning rows into tokens")
        views = str(write_views(cache, template, dataset, part, rows))
    if params.get("lengths", True):

        def tell(done: int, total: int) -> None:
            report(done / max(1, total), f"Counting tokens: {done:,} of {total:,} rows")

        token_lengths(cache, template, dataset, tell)
        lengths = str(lengths_path(cache, template, dataset))
    return {
        "template": template.source,
        "reason": template.reason,
        "lengths": lengths,
        "views": views,
        "max_length": limit,
    }


def write_views(cache: Path, template: Template, dataset: Dataset, part: Part, rows: Sequence[int]) -> Path:
    """Write the rows as tokens, in ascending order; rows that are no conversation are passed over.

    Raises:
        UserError: more rows than MOST_ROWS, or one that is not in the table.
    """
    if len(rows) > MOST_ROWS:
        raise UserError(
            f"{len(rows)} rows cannot be shown at once.", where="rows", fix=f"Ask for {MOST_ROWS} or fewer."
        )
    count = dataset.table_of(part).row_count
    if beyond := [row for row in rows if not 0 <= row < count]:
        raise UserError(f"There is no row {beyond[0] + 1}.", where="rows", fix=f"Ask for rows 1 to {count}.")
    views: list[dict[str, Any]] = []
    for conversation in dataset.read_rows(part, sorted(set(rows))):
        try:
            views.append(inspect_conversation(template, conversation).as_dict())
        except UserError as error:
            told = {"what": error.what, "where": error.where, "fix": error.fix}
            views.append({"row": conversation.row, "error": told})
    asked = hashlib.sha256(json.dumps([part, sorted(set(rows))]).encode()).hexdigest()[:16]
    path = cache / samples_fingerprint(template, dataset.fingerprint, (part,)) / f"views-{asked}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.part")
    beside.write_text(json.dumps(views, ensure_ascii=False), encoding="utf-8")
    beside.replace(path)
    return path
