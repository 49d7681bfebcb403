"""The chat page without a browser: what it shows in each state, and that no text of a model becomes markup."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_studio.actions.answers import Answer
from llm_studio.actions.chats import ChatSettings, Talker
from llm_studio.errors import UserError
from llm_studio.modeling.sampling import Sampling
from llm_studio.store import Home, ServerRecord, Store
from llm_studio.ui.page import Context, Event
from llm_studio.ui.pages import chat_bubbles as bubbles
from llm_studio.ui.pages.chat import PAGE, load, refresh_seconds
from llm_studio.ui.pages.chat_cards import Data, cards
from tests.support.tuned import make_backbone, make_experiment

HOSTILE = '<img src=x onerror="hack()"><script>x</script> **<i>b</i>** `<u>c</u>`\n```html\n<b>d</b>\n```'
TALKER = Talker("ab12", "orders", "ab12", "starter", "cpu", has_adapter=True)
SETTINGS = ChatSettings(sampling=Sampling())
SAID = ({"role": "user", "content": "one"}, {"role": "assistant", "content": "uno", "note": "3 tokens"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Home(tmp_path / "home"))
    yield opened
    opened.close()


def context(store: Store, *args: str, **draft: Any) -> Context:
    return Context(store=store, home=store.home, route="chat", args=args, draft=draft)


def shown(data: Data) -> dict[str, str]:
    """What each card would send, by its name."""
    return {card.name: repr(card.item.dump()) for card in cards(data)}


def server(**values: Any) -> ServerRecord:
    given = {
        "id": "s1", "experiment_id": "ab12", "backbone": "starter", "device": "cpu", "status": "ready", "phase": "",
        "port": 1, "api_key": "k", "error": None, "stop_requested": False, "created_at": 0.0, "last_used_at": 0.0,
        "pid": None, "pid_started_at": None,
    }  # fmt: skip
    return ServerRecord(**(given | values))


def data(**values: Any) -> Data:
    return Data(**({"choices": (TALKER,), "talker": TALKER, "settings": SETTINGS} | values))


def test_a_page_without_models_teaches_what_to_do_and_still_offers_the_starter(store: Store) -> None:
    found = shown(load(context(store), ()))
    assert "#new" in found["talk_none"] and "chat_box" not in found
    assert "Starter (bundled), untouched" in found["chat_model"]


def test_a_visit_begins_to_load_and_shows_suggestions_from_held_out_rows(store: Store, tmp_path: Path) -> None:
    experiment = make_experiment(store, make_backbone(tmp_path / "backbone"))
    ctx = context(store, experiment.id)
    found = load(ctx, (experiment.id,))
    assert [one.experiment_id for one in store.servers.list(active=True)] == [experiment.id]
    assert found.server is not None and len(found.suggestions) == 3
    assert found.suggestions[0] in shown(found)["talk_one"]
    PAGE.actions["unload"](ctx, (experiment.id,), Event("unload"))
    load(ctx, (experiment.id,))
    assert store.servers.list(active=True) == []  # what the user closed stays closed


def test_a_wrong_address_says_what_is_missing(store: Store) -> None:
    with pytest.raises(UserError, match="no experiment"):
        load(context(store, "ab12"), ("ab12",))
    with pytest.raises(UserError, match="no backbone nothing"):
        load(context(store, "backbone:nothing"), ("backbone:nothing",))


def test_an_empty_prompt_is_refused_and_settings_are_checked_and_kept(store: Store, tmp_path: Path) -> None:
    experiment = make_experiment(store, make_backbone(tmp_path / "backbone"))
    args = (experiment.id,)
    with pytest.raises(UserError, match="The prompt is empty"):
        PAGE.actions["send"](context(store, *args, chat_prompt="  "), args, Event("send"))
    with pytest.raises(UserError, match="Temperature is 'warm'"):
        PAGE.actions["save_settings"](context(store, *args, temperature="warm"), args, Event("save_settings"))
    PAGE.actions["save_settings"](context(store, *args, temperature="0.5", seed="3"), args, Event("save_settings"))
    PAGE.actions["compare"](context(store, *args, compare=True), args, Event("compare"))
    found = load(context(store, *args), args).settings
    assert found and (found.sampling.temperature, found.sampling.seed, found.compare) == (0.5, 3, True)


def test_loading_says_what_happens_and_a_failure_what_to_do() -> None:
    loading = shown(data(server=server(status="loading", phase="Loading the adapter")))
    assert "Loading the adapter" in loading["chat_model"]
    problem = {"what": "Memory ran out.", "where": "cpu", "fix": "Close something."}
    failed = shown(data(server=server(status="failed", error=problem)))
    assert all(words in failed["chat_model"] for words in (*problem.values(), "load_model/auto"))


def test_a_busy_gpu_offers_the_cpu_and_waiting() -> None:
    problem = {"what": "cuda:0 is busy.", "where": "", "fix": ""}
    on_visit = shown(data(problem=problem, busy=True))["chat_model"]
    assert "load_model/cpu" in on_visit and "load_model/wait" in on_visit
    asked = data(messages=SAID[:1], answers=(("content", Answer(state="failed", error=problem, busy=True)),))
    assert "again/cpu" in shown(asked)["talk_one"]


def test_an_answer_that_comes_shows_its_words_and_speed_and_a_stop_button() -> None:
    made = Answer(state="answering", text="uno d", tokens=4, tokens_per_second=12.34)
    coming = data(messages=SAID[:1], answers=(("content", made),), answering=True)
    assert "uno d" in shown(coming)["talk_one"] and "12.3 tokens per second" in shown(coming)["talk_one"]
    assert refresh_seconds(coming) == 0.1 and refresh_seconds(data()) > 1
    waiting = data(messages=SAID[:1], answers=(("content", Answer(words="Loading the backbone")),), answering=True)
    assert "Loading the backbone" in shown(waiting)["talk_one"]


def test_two_columns_share_one_prompt_box_when_comparing() -> None:
    said = (SAID[0], SAID[1] | {"untouched": "eins", "untouched_note": "2 tokens"})
    found = shown(data(messages=said, settings=ChatSettings(sampling=Sampling(), compare=True)))
    assert "uno" in found["talk_left"] and "eins" not in found["talk_left"]
    assert "eins" in found["talk_right"] and "2 tokens" in found["talk_right"]
    assert "chat_box" in found and "talk_one" not in found


def test_names_of_components_stay_while_an_answer_comes_and_is_kept() -> None:
    def names(found: Data) -> list[str]:
        card = next(card for card in cards(found) if card.name == "talk_one")
        return [item.markup.name for item in card.item.items]

    coming = data(messages=SAID[:1], answers=(("content", Answer(text="un")),), answering=True)
    assert names(coming) == names(data(messages=SAID))


@pytest.mark.parametrize("make", [bubbles.formatted, bubbles.prompt, lambda words: bubbles.answer(words, words)])
def test_nothing_that_is_said_becomes_markup(make: Any) -> None:
    made = make(HOSTILE)
    for tag in ("<img", "<script", "<i>", "<u>", "<b>d", 'onerror="'):
        assert tag not in made
    assert "&lt;img" in made


def test_code_and_bold_are_shown_and_everything_else_is_as_written() -> None:
    made = bubbles.formatted('{"a": 1} -- (c) "x"\n```\n1 < 2\n```\n**so** `x`')
    assert '<pre class="ls-code">1 &lt; 2</pre>' in made and "<b>so</b>" in made and "<code>x</code>" in made
    assert made.startswith("{&quot;a&quot;: 1} -- (c) &quot;x&quot;\n")


def test_every_input_has_a_tooltip() -> None:
    for card in cards(data(messages=SAID)):
        for item in card.item.items:
            for one in item.inline.items if item.inline else [item]:
                held = one.textbox or one.dropdown or one.checkbox
                assert held is None or held.tooltip
