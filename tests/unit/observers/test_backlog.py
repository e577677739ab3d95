"""The bounded queue, against a model that is too slow to use."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from mise_observer.backlog import EVENTS_AT_ONCE, Backlog, Cell

MOST = 6
MOST_BYTES = 100


@dataclass
class Modelled:
    number: int
    is_turn: bool
    size: int
    audio: int


@dataclass(frozen=True)
class Add:
    is_turn: bool
    size: int
    audio: int


@dataclass(frozen=True)
class Take:
    most: int
    most_bytes: int


adds = st.builds(
    lambda is_turn, size, audio: Add(is_turn, size, audio if is_turn else 0),
    st.booleans(),
    st.integers(1, 60) | st.just(MOST_BYTES + 1),
    st.integers(0, 120),
)
takes = st.builds(Take, st.integers(1, 4), st.integers(1, 120))


class Model:
    """The same, as a list, by what the docstrings say."""

    def __init__(self) -> None:
        self.cells: list[Modelled] = []

    def total(self) -> int:
        return sum(cell.size + cell.audio for cell in self.cells)

    def add(self, new: Modelled) -> tuple[list[int], list[int]]:
        audio, whole = [], []
        if new.size > MOST_BYTES:
            return [], [new.number]
        if new.audio and new.size + new.audio > MOST_BYTES:
            new.audio = 0
            audio.append(new.number)
        self.cells.append(new)
        if len(self.cells) > MOST:
            whole.append(self.cells.pop(0).number)
        while self.total() > MOST_BYTES:
            with_audio = next((cell for cell in self.cells if cell.audio), None)
            if with_audio is None:
                whole.append(self.cells.pop(0).number)
            else:
                with_audio.audio = 0
                audio.append(with_audio.number)
        return audio, whole

    def take(self, most: int, most_bytes: int) -> list[int]:
        if not self.cells:
            return []
        turns = self.cells[0].is_turn
        found: list[Modelled] = []
        for cell in self.cells:
            if cell.is_turn != turns:
                if turns:
                    continue
                break
            bytes_so_far = sum(one.size + one.audio for one in [*found, cell])
            if len(found) == (most if turns else min(most, EVENTS_AT_ONCE)) or (found and bytes_so_far > most_bytes):
                break
            found.append(cell)
        self.cells = [cell for cell in self.cells if cell not in found]
        return [cell.number for cell in found]


@given(st.lists(adds | takes, max_size=60))
def test_backlog_does_what_the_model_does(steps: list[Add | Take]) -> None:
    backlog: Backlog[int] = Backlog(MOST, MOST_BYTES)
    model = Model()
    for number, step in enumerate(steps):
        if isinstance(step, Add):
            given_up = backlog.add(Cell(number, step.is_turn, step.size, step.audio))
            expected = model.add(Modelled(number, step.is_turn, step.size, step.audio))
            assert ([cell.value for cell in given_up.audio], [cell.value for cell in given_up.whole]) == expected
        else:
            taken = [cell.value for cell in backlog.take(step.most, step.most_bytes)]
            assert taken == model.take(step.most, step.most_bytes)
        assert len(backlog) == len(model.cells) <= MOST
        assert backlog.bytes == model.total() <= MOST_BYTES


@given(st.lists(adds, max_size=40))
def test_no_text_goes_for_bytes_while_there_is_audio(steps: list[Add]) -> None:
    backlog: Backlog[int] = Backlog(1_000, MOST_BYTES)
    for number, step in enumerate(steps):
        given_up = backlog.add(Cell(number, step.is_turn, step.size, step.audio))
        if any(cell.size <= MOST_BYTES for cell in given_up.whole):
            while taken := backlog.take(1_000, 10**9):
                assert all(cell.audio == 0 for cell in taken)
            return


def test_what_was_taken_is_not_kept() -> None:
    backlog: Backlog[int] = Backlog(10, 100)
    backlog.add(Cell(1, True, 1, 50))
    backlog.take(1, 1)
    given_up = backlog.add(Cell(2, True, 1, 99))
    assert given_up.audio == []
    assert backlog.bytes == 100
