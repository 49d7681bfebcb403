"""The page of a new experiment as a person uses it: typing keeps focus, a reload keeps the draft, Start opens it."""

from typing import Any

import pytest

from llm_studio.actions.datasets import import_dataset
from llm_studio.store import Home, Store
from tests.support.browser import Studio

pytestmark = pytest.mark.browser


@pytest.fixture
def dataset(studio: Studio) -> str:
    """A data set of the studio's home; its id."""
    store = Store.open(Home(studio.home))
    try:
        name = store.datasets.free_name("Orders")
        return str(import_dataset(store, {"kind": "starter", "name": "orders_to_json"}, name=name).id)
    finally:
        store.close()


def field(page: Any, name: str) -> Any:
    return page.locator(f'[data-test="{name}"]')


def fill(studio: Studio, page: Any, name: str, value: str) -> None:
    studio.act(page, lambda: field(page, name).fill(value))
    studio.settled(page)


def choose(studio: Studio, page: Any, name: str, option: str) -> None:
    field(page, name).click()
    studio.act(page, page.get_by_role("option", name=option, exact=True).click)
    studio.settled(page)


def test_typing_keeps_focus_and_a_reset_brings_the_value_back(studio: Studio, page: Any, dataset: str) -> None:
    studio.open(page, f"#new/{dataset}")
    epochs = field(page, "cfg/training.epochs")
    before = epochs.input_value()
    for value in ("x", "7"):
        fill(studio, page, "cfg/training.epochs", value)
        assert epochs.input_value() == value
        assert epochs.evaluate("field => field === document.activeElement")
        assert page.get_by_text("1 error").is_visible() == (value == "x")
    for _ in range(2):
        studio.act(page, field(page, "reset/training.epochs").click)
        assert epochs.input_value() == before
        fill(studio, page, "cfg/training.epochs", "7")


def test_level_and_search_show_and_hide_and_a_reload_keeps_the_draft(studio: Studio, page: Any, dataset: str) -> None:
    studio.open(page, f"#new/{dataset}")
    choose(studio, page, "level", "Expert")
    fill(studio, page, "cfg/environment.seed", "123")
    assert field(page, "cfg/training.use_dora").is_visible()
    fill(studio, page, "search", "rank")
    assert field(page, "cfg/training.lora_r").is_visible()
    assert not field(page, "cfg/training.epochs").is_visible()
    page.reload()
    field(page, "cfg/training.lora_r").wait_for()
    studio.settled(page)
    fill(studio, page, "search", "")
    assert field(page, "cfg/environment.seed").input_value() == "123"
    field(page, "new_sections").get_by_role("button", name="Logging").click()
    assert field(page, "section_logging").evaluate("card => card === document.activeElement")
    choose(studio, page, "level", "Basic")
    assert field(page, "cfg/environment.seed").is_visible(), "what was changed is shown at every level"
    assert not field(page, "cfg/logging.log_every_steps").is_visible()


def test_a_backbone_that_cannot_be_had_is_said_at_the_choice(studio: Studio, page: Any, dataset: str) -> None:
    studio.open(page, f"#new/{dataset}")
    box = page.locator('[data-test="cfg/llm_backbone"] input')
    box.fill("nobody/nothing")
    studio.act(page, lambda: box.press("Enter"))
    page.get_by_text("nobody/nothing is not on this machine").first.wait_for()
    studio.act(page, field(page, "start").click)
    page.get_by_text("The experiment cannot start").wait_for()
    assert "#new/" in page.url
    studio.act(page, field(page, "reset/llm_backbone").click)
    assert box.input_value() == "starter"


def test_yaml_is_uploaded_and_downloaded(studio: Studio, page: Any, dataset: str, tmp_path: Any) -> None:
    path = tmp_path / "theirs.yaml"
    path.write_text(
        "problem_type: text_causal_language_modeling\ntraining:\n  epochs: 9\nenvironment:\n  gpus: ['0']\n"
    )
    studio.open(page, f"#new/{dataset}")
    studio.act(page, field(page, "yaml").click)
    page.set_input_files('input[data-test="yaml_file"]', path)
    page.wait_for_timeout(500)
    with page.expect_download() as waiting:
        field(page, "yaml_download").click()
    assert "llm_backbone: starter" in waiting.value.path().read_text()
    studio.act(page, field(page, "use_yaml").click)
    field(page, "report_lines").wait_for()
    assert field(page, "cfg/training.epochs").input_value() == "9"
    assert "theirs.yaml" in field(page, "yaml_report").inner_text()
    assert "environment.gpus" in field(page, "report_lines").inner_text()


@pytest.mark.parametrize("width", [1440, 390])
def test_start_stays_in_sight_and_nothing_is_cut(studio: Studio, page: Any, dataset: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    studio.open(page, f"#new/{dataset}")
    field(page, "section_data").scroll_into_view_if_needed()
    box = field(page, "start").bounding_box()
    assert box is not None and 48 <= box["y"] < 160 and box["x"] + box["width"] <= width
    wide = page.evaluate(
        """() => [...document.querySelectorAll('[data-test="content"] *')].filter(one => one.offsetParent
        && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.className).slice(0, 5)"""
    )
    assert wide == []


def test_start_opens_the_experiment(studio: Studio, page: Any, dataset: str) -> None:
    studio.open(page, f"#new/{dataset}")
    choose(studio, page, "preset", "Quick try")
    name = f"browser {dataset}"
    fill(studio, page, "cfg/experiment_name", name)
    field(page, "start").click()
    page.wait_for_url("**#experiment/**")
    page.get_by_text(name).first.wait_for()
    store = Store.open(Home(studio.home))
    record = next(one for one in store.experiments.list() if one.name == name)
    store.experiments.request_stop(record.id)
    store.close()
    studio.open(page, f"#new/{dataset}?from={record.id}")
    assert field(page, "cfg/experiment_name").input_value() == f"{name} 2"
