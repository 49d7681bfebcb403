"""The record of what was read from one file, kept as reading.json beside the rows."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from llm_studio.data.reading.rejects import RejectedRow
from llm_studio.data.types import Column


@dataclass(frozen=True)
class Reading:
    """What was read. `rejected` rows of the file did not fit and are not in the table; `rejected_examples` are the
    first ten of them, all (at most 100,000) stand in `rejects.rejected_path` of the table."""

    file: str
    format: str
    size_bytes: int
    columns: tuple[Column, ...]
    row_count: int
    rows_sha256: str
    notes: tuple[str, ...]
    rejected: int = 0
    rejected_examples: tuple[RejectedRow, ...] = ()

    def save(self, path: Path) -> None:
        """Writes JSON."""
        text = json.dumps(asdict(self), ensure_ascii=False)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")

    @classmethod
    def load(cls, path: Path) -> "Reading":
        """The inverse of `save`; also reads records from before rows could be rejected."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        columns = tuple(Column(**{**column, "examples": tuple(column["examples"])}) for column in stored["columns"])
        examples = tuple(RejectedRow(**example) for example in stored.get("rejected_examples", ()))
        return cls(
            **{**stored, "columns": columns, "notes": tuple(stored["notes"]), "rejected_examples": examples},
        )
