"""Words for rows that cannot be used: the refusal, and which rows are meant."""

from collections.abc import Sequence
from pathlib import Path

from llm_studio.data.checking import Scan
from llm_studio.data.reading import Reading
from llm_studio.data.types import Problem
from llm_studio.errors import UserError


def named(validation: Scan | None) -> list[Problem]:
    """The problems of the own validation file, marked as such."""
    if validation is None:
        return []
    return [
        Problem(one.severity, f"validation file: {one.what}", one.fix, one.column, one.count, one.rows)
        for one in validation.problems
    ]


def not_read(folder: Path, names: Sequence[str]) -> list[Problem]:
    """Rows of the files that were left out while they were read, one problem for each reason that is known.

    names: of the records of the readings in the folder; row numbers in the words are those of the file, from 1.
    """
    found: list[Problem] = []
    for name in names:
        if not (folder / name).is_file():
            continue
        reading = Reading.load(folder / name)
        if not reading.rejected:
            continue
        first = reading.rejected_examples[0]
        places = ", ".join(f"{one.row:,}" for one in reading.rejected_examples[:5])
        more = reading.rejected - min(len(reading.rejected_examples), 5)
        places += f" and {more:,} more" if more else ""
        rows = f"row{'s' if reading.rejected > 1 else ''} {places}"
        what = f"not read from {reading.file}: {first.reason.rstrip('.')} ({rows})"
        found.append(Problem("leaves out", what, column=first.column, count=reading.rejected))
    return found


def row_list(problem: Problem) -> str:
    """The rows of a problem as people count them: "rows 3, 17 and 5 more"."""
    if not problem.rows:
        return ""
    shown = ", ".join(f"{row + 1:,}" for row in problem.rows[:5])
    more = problem.count - min(len(problem.rows), 5)
    return f"row{'s' if problem.count > 1 else ''} {shown}" + (f" and {more:,} more" if more else "")


def refusal(problems: Sequence[Problem], rows: int) -> UserError:
    """The error for rows that cannot be used, as long as the user has not agreed to leave them out."""
    count = sum(problem.count for problem in problems)
    first = problems[0]
    return UserError(
        f"{count:,} of {rows:,} rows cannot be used: {first.what}{place(first)}"
        + {1: ".", 2: "; and for another reason."}.get(len(problems), f"; and for {len(problems) - 1} other reasons."),
        where=", ".join(one for one in (f"column “{first.column}”" if first.column else "", row_list(first)) if one),
        fix="Agree to leave these rows out, choose other columns, or mend the file and import it again.",
    )


def place(problem: Problem) -> str:
    """ " in rows 3, 17", or nothing where the words name the rows already."""
    return f" in {row_list(problem)}" if problem.rows else ""


def no_usable_rows(checked: Scan, file: str = "") -> UserError:
    """The error for a table of which no row fits."""
    first = checked.problems[0]
    return UserError(
        f"None of the {len(checked.usable):,} rows can be used: {first.what} in {row_list(first)}.",
        where=f"{file}column “{first.column}”, {row_list(first)}",
        fix="Choose other columns or another layout.",
    )
