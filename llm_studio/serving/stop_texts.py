"""Ends an answer at given texts while it streams, without showing the beginning of one of them."""

from collections.abc import Sequence


class StopTexts:
    """Lets a stream of text through until one of some texts appears in it; holds back what may be the start of one."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = tuple(text for text in texts if text)
        self._held = ""
        self.found = False

    def feed(self, piece: str) -> str:
        """The part of the stream that is safe to show now."""
        if self.found:
            return ""
        text = self._held + piece
        starts = [at for at in (text.find(stop) for stop in self._texts) if at >= 0]
        if starts:
            self.found, self._held = True, ""
            return text[: min(starts)]
        keep = max((_overlap(text, stop) for stop in self._texts), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        """What was held back when the stream ended."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
