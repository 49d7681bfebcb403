"""What a problem type declares."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ProblemType:
    """A kind of task. formats, losses and metrics are names of the catalog; `defaults` are settings that differ from
    the declared ones, by path: a value, never a subclass, since a field that is declared again loses its sentence."""

    name: str
    title: str
    formats: tuple[str, ...]
    losses: tuple[str, ...]
    metrics: tuple[str, ...]
    defaults: Mapping[str, object] = field(default_factory=dict)
