"""Which process answers a chat, on which device; and a whole conversation with a real one."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llm_studio.actions import answers
from llm_studio.actions.chats import (
    ChatSettings,
    default_settings,
    find_talker,
    open_conversation,
    prompt_messages,
    read_settings,
    talkers,
)
from llm_studio.actions.serving import DeviceBusyError, close_chat, current_server, open_chat, open_untouched
from llm_studio.config.prediction import Prediction
from llm_studio.errors import UserError
from llm_studio.modeling.sampling import Sampling
from llm_studio.store import ExperimentRecord, Home, ServerRecord, Store
from llm_studio.store.processes import own_identity
from tests.support.rows import make_dataset
from tests.support.tuned import make_backbone, make_experiment

SETTINGS = ChatSettings(sampling=Sampling(max_tokens=12))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Home(tmp_path / "home"))
    yield opened
    opened.close()


@pytest.fixture
def experiment(store: Store, tmp_path: Path) -> ExperimentRecord:
    return make_experiment(store, make_backbone(tmp_path / "backbone"))


def on_gpu(store: Store, tmp_path: Path, name: str) -> ExperimentRecord:
    """A finished experiment that says it ran on a GPU; nothing is loaded there."""
    record = make_experiment(store, make_backbone(tmp_path / "backbone"), name=name)
    made = store.experiments.create(
        (store.home.experiment(record.id) / "config.yaml").read_text(),
        name=f"{name} on a GPU",
        dataset_id=record.dataset_id,
        backbone=record.backbone,
        problem_type="causal_lm",
        device="cuda:0",
    )
    (store.home.experiment(record.id) / "checkpoints").rename(store.home.experiment(made.id) / "checkpoints")
    return store.experiments.get(made.id)


def test_asking_twice_gives_the_same_process(store: Store, experiment: ExperimentRecord) -> None:
    first = open_chat(store, experiment.id)
    assert (first.status, first.device, first.experiment_id) == ("queued", "cpu", experiment.id)
    assert open_chat(store, experiment.id).id == first.id


def test_a_closed_chat_is_gone_and_opened_anew(store: Store, experiment: ExperimentRecord) -> None:
    first = open_chat(store, experiment.id)
    close_chat(store, experiment.id)
    assert current_server(store, experiment.id, experiment.backbone) is None
    assert open_chat(store, experiment.id).id != first.id


def test_an_experiment_without_weights_is_refused_with_what_to_do(store: Store, experiment: ExperimentRecord) -> None:
    checkpoint = store.home.experiment(experiment.id) / "checkpoints" / "last"
    checkpoint.rename(checkpoint.with_name("away"))
    with pytest.raises(UserError, match="ended before any weights were saved") as error:
        open_chat(store, experiment.id)
    assert error.value.fix
    with pytest.raises(UserError, match="no saved weights"):
        find_talker(store, experiment.id)


def test_a_gpu_that_trains_is_refused_queued_or_left_alone_as_the_user_chooses(store: Store, tmp_path: Path) -> None:
    record = on_gpu(store, tmp_path, "mine")
    assert store.leases.acquire("cuda:0", "experiment", record.id, *own_identity())
    with pytest.raises(DeviceBusyError, match="mine on a GPU trains on it") as error:
        open_chat(store, record.id, "auto")
    assert "CPU" in error.value.fix
    assert open_chat(store, record.id, "wait").device == "cuda:0"
    assert open_chat(store, record.id, "cpu").device == "cpu"


def test_another_chats_model_makes_room_on_the_gpu(store: Store, tmp_path: Path) -> None:
    record = on_gpu(store, tmp_path, "mine")
    other = open_untouched(store, "other", "cuda:0")
    store.leases.acquire("cuda:0", "server", other.id, *own_identity())
    assert open_chat(store, record.id).device == "cuda:0"
    assert store.servers.get(other.id).status == "stopped"


def test_the_list_holds_tuned_models_first_and_the_starter(store: Store, experiment: ExperimentRecord) -> None:
    found = talkers(store)
    assert (found[0].key, found[0].has_adapter) == (experiment.id, True)
    assert "backbone:starter" in [one.key for one in found]


def test_a_model_that_learned_from_single_turns_is_given_each_prompt_alone(
    store: Store, experiment: ExperimentRecord
) -> None:
    assert default_settings(store, find_talker(store, experiment.id)).turns == 0


def test_a_model_that_learned_from_several_turns_is_given_as_many_of_the_newest_as_are_set(
    store: Store, tmp_path: Path
) -> None:
    roles = ("user", "assistant")
    talks = [
        [{"role": role, "content": f"{role} {row} {turn}"} for turn in (1, 2) for role in roles] for row in range(20)
    ]
    make_dataset(store, [{"messages": talk} for talk in talks])
    record = make_experiment(store, make_backbone(tmp_path / "backbone"), changes={"prediction.num_history": 2})
    settings = default_settings(store, find_talker(store, record.id))
    said = [{"role": role, "content": f"{role} {turn}"} for turn in (1, 2, 3) for role in roles]
    found = prompt_messages([*said, {"role": "user", "content": "now"}], settings, "content")
    assert [message["content"] for message in found] == ["user 2", "assistant 2", "user 3", "assistant 3", "now"]
    plain = default_settings(store, find_talker(store, "backbone:starter"))
    assert plain.turns == Prediction().num_history


def test_settings_are_read_as_typed_and_refused_by_name() -> None:
    typed = {"temperature": "0.5", "max_tokens": "9", "seed": "", "stop": "a\nb", "system": " Be brief. ", "turns": "2"}
    read = read_settings(typed, SETTINGS)
    assert (read.sampling.temperature, read.sampling.max_tokens, read.sampling.seed) == (0.5, 9, None)
    assert (read.sampling.stop, read.system, read.turns) == (("a", "b"), "Be brief.", 2)
    assert ChatSettings.of(read.as_dict(), SETTINGS) == read
    with pytest.raises(UserError, match="Temperature is 'warm'"):
        read_settings(typed | {"temperature": "warm"}, SETTINGS)
    with pytest.raises(UserError, match="top_p is"):
        read_settings(typed | {"top_p": "2"}, SETTINGS)


def test_the_prompt_holds_system_the_last_turns_and_the_answers_of_its_own_variant() -> None:
    messages = [
        {"role": "user", "content": "one"}, {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two"}, {"role": "assistant", "content": "2", "untouched": "zwei"},
        {"role": "user", "content": "three"},
    ]  # fmt: skip
    settings = replace(SETTINGS, system="Be brief.", turns=8)

    def said(turns: int, variant: str) -> str:
        found = prompt_messages(messages, replace(settings, turns=turns), variant)
        return " ".join(message["content"] for message in found)

    assert said(8, "content") == "Be brief. one 1 two 2 three"
    assert said(1, "content") == "Be brief. two 2 three"
    assert said(0, "content") == "Be brief. three"
    assert said(8, "untouched") == "Be brief. two zwei three"


def test_a_conversation_with_a_real_model_is_answered_stopped_repeated_and_kept(
    store: Store, experiment: ExperimentRecord
) -> None:
    talker = find_talker(store, experiment.id)
    chat = open_conversation(store, talker)
    answers.ask(store, talker, chat, replace(SETTINGS, compare=True), "Tom orders three cups.")
    made = answers.current_round(chat.id)
    assert made is not None and not made.over
    with pytest.raises(UserError, match="An answer is being made"):
        answers.ask(store, talker, chat, SETTINGS, "Again?")
    record = asked_for(store)
    command = [sys.executable, "-m", "llm_studio.serving.server", record.id, "--home", str(store.home.path)]
    process = subprocess.Popen(command)
    try:
        wait_until_over(chat.id)
        message = store.chats.get(chat.id).messages[-1]
        assert message["content"] != message["untouched"] and message["content"]
        assert "12 tokens" in message["note"] and "per second" in message["untouched_note"]

        answers.answer_again(store, talker, store.chats.get(chat.id), SETTINGS)
        wait_until_over(chat.id)
        again = store.chats.get(chat.id).messages
        assert len(again) == 2 and again[-1]["content"] == message["content"] and "untouched" not in again[-1]

        long = replace(SETTINGS, sampling=Sampling(max_tokens=200))
        answers.ask(store, talker, store.chats.get(chat.id), long, "Say much.")
        while not (text_of(chat.id)):
            time.sleep(0.005)
        answers.stop_answering(chat.id)
        wait_until_over(chat.id)
        stopped = store.chats.get(chat.id).messages[-1]
        assert stopped["content"] and "stopped" in stopped["note"]

        answers.clear(store, store.chats.get(chat.id))
        assert store.chats.get(chat.id).messages == []
    finally:
        process.terminate()
        process.wait(10)


def test_a_model_that_could_not_be_loaded_is_said_in_the_chat_and_the_prompt_stays(
    store: Store, experiment: ExperimentRecord
) -> None:
    talker = find_talker(store, experiment.id)
    chat = open_conversation(store, talker)
    answers.ask(store, talker, chat, SETTINGS, "Tom orders three cups.")
    server = asked_for(store)
    problem = UserError("There is no memory.", fix="Close something.")
    store.servers.finish(server.id, "failed", problem.as_dict())
    wait_until_over(chat.id)
    made = answers.current_round(chat.id)
    assert made is not None and made.answers["content"].error == problem.as_dict()
    assert [message["role"] for message in store.chats.get(chat.id).messages] == ["user"]


def asked_for(store: Store) -> ServerRecord:
    """The process that the thread of an answer asks for."""
    deadline = time.monotonic() + 10
    while not (found := store.servers.list(active=True)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found[0]


def text_of(chat_id: str) -> str:
    made = answers.current_round(chat_id)
    return made.answers["content"].text if made else ""


def wait_until_over(chat_id: str) -> None:
    deadline = time.monotonic() + 60
    while (made := answers.current_round(chat_id)) is not None and not made.over:
        assert time.monotonic() < deadline
        time.sleep(0.01)
