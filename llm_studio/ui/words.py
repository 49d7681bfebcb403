"""Numbers, sizes, durations and dates as people read them."""

import math
from collections.abc import Sequence
from datetime import datetime


def count(number: float | None) -> str:
    """12473 -> "12,473"; None -> "–"."""
    return "–" if number is None else f"{number:,.0f}"


def short_count(number: float | None) -> str:
    """7241732096 -> "7.24 B"; below 10,000 exact."""
    if number is None:
        return "–"
    if abs(number) < 10_000:
        return f"{number:,.0f}"
    return _with_unit(number, ("", "k", "M", "B", "T"))


def size(number_bytes: float | None) -> str:
    """3435973836 -> "3.44 GB" (powers of 1000)."""
    return "–" if number_bytes is None else _with_unit(number_bytes, ("B", "kB", "MB", "GB", "TB"))


def _with_unit(number: float, units: Sequence[str]) -> str:
    """Three figures and the unit that makes them smallest; 999.7 kB is 1 MB."""
    value = float(number)
    for unit in units[:-1]:
        if abs(value) < 999.5:
            return f"{value:.0f} {unit}".strip() if unit == units[0] else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} {units[-1]}" if abs(value) < 999.5 else f"{value:,.0f} {units[-1]}"


def duration(seconds: float | None) -> str:
    """7500 -> "2 h 05 min"; 65 -> "1 min 05 s"; 4.2 -> "4 s"."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def about(seconds: float | None) -> str:
    """An estimate in words: 170 -> "about 3 min"."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 10:
        return "a few seconds"
    if seconds < 55:
        return f"about {round(seconds / 10) * 10} s"
    if seconds < 5400:
        return f"about {max(1, round(seconds / 60))} min"
    if seconds < 172800:
        return f"about {seconds / 3600:.0f} h" if seconds >= 36000 else f"about {seconds / 3600:.1f} h"
    return f"about {seconds / 86400:.0f} days"


def ago(then: float | None, now: float | None = None) -> str:
    """An epoch time seen from now: "just now", "5 min ago", "3 h ago", else the date."""
    if then is None:
        return "–"
    seconds = (datetime.now().timestamp() if now is None else now) - then
    if seconds < 45:
        return "just now"
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))} min ago"
    if seconds < 86400:
        return f"{round(seconds / 3600)} h ago"
    if seconds < 7 * 86400:
        days = round(seconds / 86400)
        return f"{days} day ago" if days == 1 else f"{days} days ago"
    return datetime.fromtimestamp(then).strftime("%-d %b %Y")


def moment(then: float | None) -> str:
    """The exact local date and time of an epoch time."""
    return "–" if then is None else datetime.fromtimestamp(then).strftime("%-d %B %Y, %H:%M:%S")


def score(value: float | None, digits: int = 3) -> str:
    """1.28437 -> "1.284"; None or not finite -> "–"; large and tiny values keep `digits` figures."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0 or 0.01 <= abs(value) < 10_000:
        return f"{value:,.{digits}f}"
    return f"{value:.{digits}g}"


def percent(share: float | None, digits: int = 0) -> str:
    """0.423 -> "42 %"."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.{digits}f} %"


def plural(number: int, one: str, many: str = "") -> str:
    """plural(1, "row") -> "1 row"; plural(3, "row") -> "3 rows"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
