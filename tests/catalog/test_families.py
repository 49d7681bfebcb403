"""The families: names, and settings that offer exactly what the catalog has."""

import ast
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import llm_studio.catalog
from llm_studio.catalog.checks import CHECKS
from llm_studio.catalog.connectors import CONNECTORS
from llm_studio.catalog.formats import FORMATS
from llm_studio.catalog.losses import LOSSES
from llm_studio.catalog.metrics import METRICS
from llm_studio.catalog.optimizers import OPTIMIZERS
from llm_studio.catalog.problem_types import PROBLEM_TYPES
from llm_studio.catalog.schedules import SCHEDULES
from llm_studio.config import settings_by_path
from llm_studio.problem_types import PROBLEM_TYPES as DECLARED_TYPES

FAMILIES: dict[str, tuple[Any, ...]] = {
    "checks": CHECKS,
    "connectors": CONNECTORS,
    "formats": FORMATS,
    "losses": LOSSES,
    "metrics": METRICS,
    "optimizers": OPTIMIZERS,
    "problem_types": PROBLEM_TYPES,
    "schedules": SCHEDULES,
}
OFFERED = {
    "problem_type": "problem_types",
    "training.loss_function": "losses",
    "training.optimizer": "optimizers",
    "training.schedule": "schedules",
    "prediction.metric": "metrics",
}
DOTTED = [
    (family, entry.name, getattr(entry, field.name))
    for family, entries in FAMILIES.items()
    for entry in entries
    for field in fields(entry)
    if field.name in ("function", "module", "problem_type")
]


@pytest.mark.parametrize("family", FAMILIES)
def test_names_are_unique(family: str) -> None:
    names = [entry.name for entry in FAMILIES[family]]
    assert len(names) == len(set(names)) > 0


@pytest.mark.parametrize(("path", "family"), OFFERED.items())
def test_a_setting_offers_exactly_what_the_catalog_has(path: str, family: str) -> None:
    info = settings_by_path()[path]
    assert set(info.choices) == {entry.name for entry in FAMILIES[family]}


@pytest.mark.parametrize(("family", "name", "dotted"), DOTTED)
def test_every_dotted_name_leads_somewhere(family: str, name: str, dotted: str) -> None:
    module, _, attribute = dotted.partition(":")
    found = import_module(module)
    if attribute:
        assert hasattr(found, attribute), f"{family}: {name}"


def test_the_catalog_imports_nothing_of_the_studio() -> None:
    allowed = set(sys.stdlib_module_names)
    for file in Path(llm_studio.catalog.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= allowed
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] in allowed


def test_problem_types_of_the_catalog_are_those_declared() -> None:
    assert [entry.name for entry in PROBLEM_TYPES] == [one.name for one in DECLARED_TYPES]
    assert [entry.title for entry in PROBLEM_TYPES] == [one.title for one in DECLARED_TYPES]
