"""The two kinds of error: one a user can cause and mend (UserError), one that is ours (BugError)."""

from typing import Self


class UserError(Exception):
    """Something a user can put right; shown the same in the page, in the log and on the command line.

    `what` says what is wrong (with the value and the limit), `where` names the file, row, column or setting,
    `fix` says how to put it right. `what` and `fix` are full sentences.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"Where: {self.where}")
        if self.fix:
            parts.append(f"Fix: {self.fix}")
        return "\n".join(parts)

    def as_dict(self) -> dict[str, str]:
        """The three parts, ready for JSON."""
        return {"what": self.what, "where": self.where, "fix": self.fix}

    @classmethod
    def from_dict(cls, parts: dict[str, str]) -> Self:
        """The inverse of `as_dict` for UserError itself; missing parts are empty."""
        error = cls.__new__(cls)
        UserError.__init__(error, parts.get("what", ""), where=parts.get("where", ""), fix=parts.get("fix", ""))
        return error


class Cancelled(Exception):  # noqa: N818 - an outcome, not an error
    """The user asked a data job to end; raised by its `report` function."""


class BugError(Exception):
    """A state that our own code should have made impossible."""
