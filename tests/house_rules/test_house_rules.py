"""Rules of the house that no linter knows: how a module opens, how long it may be, what may not stand in the tree."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = sorted(p for p in (ROOT / "llm_studio").rglob("*.py"))
TESTS = sorted(p for p in (ROOT / "tests").rglob("*.py"))
MODULE_LINES = 300
FUNCTION_LINES = 60

# A longer one carries its reason here.
LONG_MODULES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {
    "tests/end_to_end/test_main_job.py:test_import_tune_watch_compare_chat_stop_download_delete": "one user's story",
    "tests/support/hub.py:_handler_of": "a class that knows its hub, which http.server takes as a class alone",
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("path", [*PACKAGE, *TESTS], ids=name_of)
def test_a_module_opens_with_a_sentence_on_what_it_is_for(path: Path) -> None:
    source = path.read_text()
    if not source.strip():
        return
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring, f"{name_of(path)} has no docstring"
    assert docstring.split("\n\n")[0].rstrip().endswith("."), f"{name_of(path)}: the first paragraph is not a sentence"


@pytest.mark.parametrize("path", [*PACKAGE, *TESTS], ids=name_of)
def test_modules_and_functions_stay_in_one_view(path: Path) -> None:
    source = path.read_text()
    lines = source.count("\n")
    assert lines <= MODULE_LINES or name_of(path) in LONG_MODULES, f"{name_of(path)}: {lines} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            key = f"{name_of(path)}:{node.name}"
            assert length <= FUNCTION_LINES or key in LONG_FUNCTIONS, f"{key}: {length} lines"


def test_the_lists_of_long_code_name_only_what_exists() -> None:
    known = {name_of(path) for path in [*PACKAGE, *TESTS]}
    assert set(LONG_MODULES) <= known
    assert {key.split(":")[0] for key in LONG_FUNCTIONS} <= known


def test_no_module_is_named_after_nothing() -> None:
    vague = {"utils", "helpers", "common", "misc"}
    assert [name_of(path) for path in [*PACKAGE, *TESTS] if path.stem in vague or path.parent.name in vague] == []


def test_nothing_is_unpickled() -> None:
    pattern = re.compile(r"\b(?:import pickle|pickle\.loads?\(|from pickle|import dill|yaml\.load\(|yaml\.unsafe_load)")
    assert [name_of(path) for path in PACKAGE if pattern.search(path.read_text())] == []


def test_torch_load_asks_for_weights_only() -> None:
    for path in PACKAGE:
        for call in re.findall(r"torch\.load\([^\n]*", path.read_text()):
            assert "weights_only=True" in call, f"{name_of(path)}: {call}"


def test_the_lock_pins_every_dependency_exactly_and_torch_without_a_local_tag() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pins = [line for line in lock.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins)
    names = {re.sub(r"[-_.]+", "-", pin.split("==")[0]).lower() for pin in pins}
    project = (ROOT / "pyproject.toml").read_text()
    wanted = re.findall(r'^    "([A-Za-z0-9._-]+)>=', project, flags=re.MULTILINE)
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in wanted} <= names
    assert "torch==2.13.0" in pins


def test_tracked_files_are_small() -> None:
    limit = 10_000_000
    assert [name_of(path) for path in tracked_files() if path.stat().st_size > limit] == []
