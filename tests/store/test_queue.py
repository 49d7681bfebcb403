"""The queue keeps its order whatever is done to it: random sequences of operations against a plain list."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from llm_studio.store import Home, Store

DEVICES = ("cpu", "cuda:0")


class Queue(RuleBasedStateMachine):
    """The model: a list of waiting ids in order, and the set of running ones."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.home = Home(Path(self.folder.name))
        self.store = Store.open(self.home)
        self.dataset = self.store.datasets.create(
            name="d",
            row_count=1,
            train_rows=1,
            validation_rows=0,
            settings={},
            fingerprint="f",
            source="s",
            size_bytes=1,
        )
        self.count = 0
        self.born: list[str] = []
        self.waiting: set[str] = set()
        self.running: set[str] = set()
        self.device: dict[str, str] = {}

    @rule(target=ids, device=st.sampled_from(DEVICES))
    def start(self, device: str) -> str:
        self.count += 1
        record = self.store.experiments.create(
            "", name=f"e{self.count}", dataset_id=self.dataset.id, backbone="b", problem_type="p", device=device
        )
        self.born.append(record.id)
        self.waiting.add(record.id)
        self.device[record.id] = device
        return record.id

    @rule(device=st.sampled_from(DEVICES))
    def claim_next(self, device: str) -> None:
        expected = next((i for i in self.born if i in self.waiting and self.device[i] == device), None)
        record = self.store.experiments.claim_next(device)
        assert (record.id if record else None) == expected
        if expected:
            self.waiting.remove(expected)
            self.running.add(expected)

    @rule(chosen=ids)
    def stop(self, chosen: str) -> None:
        self.store.experiments.request_stop(chosen)
        self.waiting.discard(chosen)

    @rule(chosen=ids, status=st.sampled_from(["finished", "failed", "stopped"]))
    def finish(self, chosen: str, status: str) -> None:
        ended = self.store.experiments.finish(chosen, status)
        assert ended == (chosen in self.waiting or chosen in self.running)
        self.waiting.discard(chosen)
        self.running.discard(chosen)

    @rule(chosen=ids)
    def interrupt(self, chosen: str) -> None:
        if chosen in self.running:
            self.store.experiments.requeue(chosen, "note")
            self.running.remove(chosen)
            self.waiting.add(chosen)

    @rule(chosen=ids)
    def continue_at_the_end(self, chosen: str) -> None:
        if chosen not in self.running and chosen not in self.waiting:
            self.store.experiments.requeue(chosen, "", at_the_end=True)
            self.born.remove(chosen)
            self.born.append(chosen)
            self.waiting.add(chosen)

    @rule(chosen=consumes(ids))
    def delete(self, chosen: str) -> None:
        if chosen in self.running:
            self.store.experiments.finish(chosen, "failed")
            self.running.remove(chosen)
        self.store.experiments.delete(chosen)
        self.born.remove(chosen)
        self.waiting.discard(chosen)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = Store.open(self.home)

    @invariant()
    def order_is_kept(self) -> None:
        found = [record.id for record in self.store.experiments.list("queued")]
        assert found == [i for i in self.born if i in self.waiting]
        assert {record.id for record in self.store.experiments.list("running")} == self.running

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


Queue.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestQueue = Queue.TestCase
