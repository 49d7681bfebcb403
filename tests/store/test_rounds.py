"""The rounds of an experiment are there for its next process."""

from pathlib import Path

from llm_studio.store.rounds import Round, read_rounds, write_rounds


def test_rounds_come_back_as_they_were_written_and_go_without_a_trace(tmp_path: Path) -> None:
    assert read_rounds(tmp_path) == ()
    rounds = (Round(step=24, epoch=2.0, epochs=1), Round(step=31, epoch=2.58, epochs=3))
    write_rounds(tmp_path, rounds)
    assert read_rounds(tmp_path) == rounds and rounds[1].end == 5.58
    write_rounds(tmp_path, ())
    assert list(tmp_path.iterdir()) == []
