"""One loaded model: what it answers, how it ends, and what it refuses."""

import threading
from pathlib import Path

import pytest

from llm_studio.errors import UserError
from llm_studio.modeling.sampling import Sampling
from llm_studio.serving.engine import ChatEngine, Usage
from llm_studio.serving.stop_texts import StopTexts
from llm_studio.store import Home, Store
from tests.support.tuned import CONTEXT, make_backbone, make_experiment

ASK = [{"role": "user", "content": "Tom orders three cups."}]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> ChatEngine:
    folder = tmp_path_factory.mktemp("engine")
    store = Store.open(Home(folder / "home"))
    record = make_experiment(store, make_backbone(folder / "backbone"))
    return ChatEngine.load(store, experiment_id=record.id, device="cpu")


def answer(engine: ChatEngine, *, adapter: bool = True, **settings: object) -> str:
    return "".join(engine.stream(ASK, Sampling(**({"max_tokens": 20} | settings)), adapter=adapter))


def test_greedy_answers_are_the_same_and_the_adapter_changes_them(engine: ChatEngine) -> None:
    assert answer(engine) == answer(engine) != ""
    assert answer(engine) != answer(engine, adapter=False)
    assert answer(engine, adapter=False) == answer(engine, adapter=False)


def test_a_seed_repeats_a_drawn_answer_and_another_seed_does_not(engine: ChatEngine) -> None:
    assert answer(engine, temperature=1.0, seed=1) == answer(engine, temperature=1.0, seed=1)
    assert answer(engine, temperature=1.0, seed=1) != answer(engine, temperature=1.0, seed=2)


def test_pieces_together_are_the_decoded_answer_and_come_one_token_at_a_time(engine: ChatEngine) -> None:
    usage = Usage()
    pieces = list(engine.stream(ASK, Sampling(max_tokens=30), usage=usage))
    assert usage.completion_tokens == 30 and usage.finish_reason == "length"
    assert len(pieces) > 10
    assert usage.tokens_per_second > 0


def test_an_event_ends_the_answer_within_a_token(engine: ChatEngine) -> None:
    stopped, usage = threading.Event(), Usage()
    for _ in engine.stream(ASK, Sampling(max_tokens=200), stopped=stopped, usage=usage):
        stopped.set()
    assert usage.finish_reason == "cancelled"
    assert usage.completion_tokens < 20


def test_closing_the_iterator_ends_the_generation(engine: ChatEngine) -> None:
    usage = Usage()
    pieces = engine.stream(ASK, Sampling(max_tokens=200), usage=usage)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert usage.completion_tokens < 20
    assert answer(engine)  # the next one is not blocked


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(engine: ChatEngine) -> None:
    whole = answer(engine, max_tokens=30)
    stop = whole[5:8]
    assert answer(engine, max_tokens=30, stop=(stop,)) == whole[: whole.index(stop)]


def test_a_conversation_that_does_not_fit_is_refused_with_its_length(engine: ChatEngine) -> None:
    with pytest.raises(UserError, match=f"at most {CONTEXT}") as error:
        list(engine.stream([{"role": "user", "content": "cups and plates " * 300}], Sampling()))
    assert "Clear the chat" in error.value.fix


def test_an_answer_ends_where_the_context_ends(engine: ChatEngine) -> None:
    usage = Usage()
    list(engine.stream([{"role": "user", "content": "a" * 150}], Sampling(max_tokens=5000), usage=usage))
    assert usage.prompt_tokens + usage.completion_tokens <= CONTEXT


def test_a_model_tuned_in_full_says_that_it_has_no_adapter(tmp_path: Path) -> None:
    store = Store.open(Home(tmp_path / "home"))
    record = make_experiment(store, make_backbone(tmp_path / "backbone"), lora=False)
    full = ChatEngine.load(store, experiment_id=record.id, device="cpu")
    assert answer(full)
    with pytest.raises(UserError, match="tuned in full"):
        answer(full, adapter=False)
    store.close()


@pytest.mark.parametrize("settings", [{"temperature": -1}, {"top_p": 0}, {"max_tokens": 0}, {"repetition_penalty": 0}])
def test_settings_out_of_range_are_refused_by_name(settings: dict[str, float]) -> None:
    with pytest.raises(UserError) as error:
        Sampling(**settings)
    assert error.value.where == next(iter(settings))


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_no_part_of_a_stop_text_is_shown_whatever_the_pieces(size: int) -> None:
    text, cut = "The end<|stop|>hidden", StopTexts(("<|stop|>", "zzz"))
    shown = "".join(cut.feed(text[at : at + size]) for at in range(0, len(text), size)) + cut.rest()
    assert shown == "The end" and cut.found


def test_what_only_looked_like_a_stop_text_is_shown_in_the_end() -> None:
    cut = StopTexts(("<|stop|>",))
    assert cut.feed("a <|st") == "a "
    assert cut.rest() == "<|st"
