"""What the model sees: the page without a browser, with the real job and the bundled backbone."""

from llm_studio.actions import seeing
from llm_studio.config import make_config
from llm_studio.modeling.token_job import run as run_tokens
from llm_studio.store import Store
from llm_studio.ui.pages import dataset, new, new_state
from tests.support.rows import make_dataset
from tests.support.tab import Tab

HOSTILE = '<img src=x onerror="window.hacked=1">'


def run_all(store: Store) -> None:
    """Does what the data job processes do."""
    for job in store.jobs.list(kind="dataset_tokens", active=True):
        result = run_tokens(store.home, store, job, lambda share, words: None)
        store.jobs.finish(job.id, "done", result=result)


def rows(count: int, long: int = 0) -> list[dict[str, str]]:
    found = [{"question": f"Question {i}?", "answer": f"Answer {i}. {HOSTILE}"} for i in range(count)]
    return found + [{"question": f"Long {i}?", "answer": "word " * 100} for i in range(long)]


def test_rows_are_shown_token_by_token_and_stay_inert(store: Store) -> None:
    dataset_id = make_dataset(store, rows(40))
    tab = Tab(store, dataset.PAGE, dataset_id, "sees")
    assert "cancel_job/" in tab.text()
    run_all(store)
    shown = tab.text()
    assert "Rows as tokens" in shown and "ls-token-learned" in shown and "ends the answer" in shown
    assert "<img" not in shown and "Every row has something to learn at this limit." in shown
    assert "own chat template is used." in shown


def test_a_limit_of_the_address_is_used_and_goes_into_a_new_experiment(store: Store) -> None:
    dataset_id = make_dataset(store, rows(40, long=10))
    tab = Tab(store, dataset.PAGE, dataset_id, "sees", limit="64")
    tab.text()
    run_all(store)
    shown = tab.text()
    assert "rows would learn nothing at this limit." in shown and "sees_use/64" in shown
    assert "{x}" in shown and f"#dataset/{dataset_id}/sees?part=train" in shown
    outcome = tab.act("sees_use/64")
    assert outcome.address == f"#new/{dataset_id}"
    begun = Tab(store, new.PAGE, dataset_id)
    begun.text()
    assert new_state.read(begun.context, dataset_id).config.tokenizer.max_length == 64


def test_the_curve_stays_while_the_rows_of_another_limit_are_made(store: Store) -> None:
    dataset_id = make_dataset(store, rows(40))
    Tab(store, dataset.PAGE, dataset_id, "sees").text()
    run_all(store)
    other = Tab(store, dataset.PAGE, dataset_id, "sees", limit="96").text()
    assert "What a limit cuts" in other and "cancel_job/" in other


def test_a_new_experiment_says_which_rows_would_learn_nothing_and_refuses_when_all(store: Store) -> None:
    dataset_id = make_dataset(store, rows(40, long=10))
    tab = Tab(store, new.PAGE, dataset_id)
    data = new.load(tab.context, tab.context.args)
    assert new.refresh_seconds(data) == 1.0
    run_all(store)
    data = new.load(tab.context, tab.context.args)
    assert new.refresh_seconds(data) is None and not [one for one in data.remarks if "tokens" in one.what]
    for limit, level, words in ((64, "warning", "would learn nothing at 64 tokens"), (32, "error", "None of the")):
        new_state.begin_with(dataset_id, {"tokenizer.max_length": limit})
        data = new.load(tab.context, tab.context.args)
        assert [one.level for one in data.remarks if words in one.what] == [level]


def test_another_split_is_counted_anew(store: Store) -> None:
    dataset_id = make_dataset(store, rows(40))
    record = store.datasets.get(dataset_id)
    config = make_config({})
    first = seeing.count_lengths(store, record, config)
    run_all(store)
    assert seeing.count_lengths(store, record, config).lengths is not None
    store.datasets.update(dataset_id, fingerprint="another")
    again = seeing.count_lengths(store, store.datasets.get(dataset_id), config)
    assert again.job.id != first.job.id and again.lengths is None


def test_a_backbone_that_is_not_there_is_said(store: Store) -> None:
    dataset_id = make_dataset(store, rows(40))
    tab = Tab(store, dataset.PAGE, dataset_id, "sees")
    tab.context.draft["sees/llm_backbone"] = "/etc/secrets"
    assert "Allow its folder" in tab.text() or "may be read" in tab.text() or "allowed" in tab.text()
    assert store.jobs.list(kind="dataset_tokens") == []
