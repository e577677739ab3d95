"""A call's speech, kept up to date turn by turn: one more turn costs what is around it makes it cost, not the call.

Whatever the order in which turns are put in, taken out and replaced, the same turns give the same timeline. A change is
worked off in a window: the spurts that it makes anew are cut out and put back, and what is counted over that stretch is
counted before and after. Overlaps whose start lies within `CONTEXT_MS` of it are judged again, for no judgement looks
further; and those of spurts that are near it, for how these end is a fact of theirs.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from pipeline.dialogue.evidence import CONTEXT_MS, NO_SOUNDS, Sound, Sounds
from pipeline.dialogue.faults import of_overlap, of_speech, of_transfer
from pipeline.dialogue.floor import Floor, Holder, is_embedded
from pipeline.dialogue.overlap import FLOOR_TAKEN_MS, OverlapEvent, Pair, pairs
from pipeline.dialogue.repetition import WITHIN_MS
from pipeline.dialogue.rules import Rules
from pipeline.dialogue.spurts import Interval, Spurt, Utterance, Voice, spurts, total, union
from schemas.annotated import Fault, FaultKind
from schemas.measured import PAUSE_MS


class TurnAnnotation(NamedTuple):
    """What is said of one turn. overlaps : those in which its participant comes in, and which start in it."""

    overlap_ms: int
    overlaps: tuple[OverlapEvent, ...]


NO_OVERLAP = TurnAnnotation(0, ())


class _Counted(NamedTuple):
    """Of a stretch of time, in ms. own : by participant. shared : by turn, while anyone else is active."""

    speech: int
    overlap: int
    own: Counter[str]
    shared: Counter[str]


class Timeline:
    """The speech of a call. rules : what classes its overlaps.

    overlaps : the events, sorted. turns : what is said of each turn that speaks. own_ms : activity, by participant.
    voices : spurts, by participant. faults : in order of time. moved : those that the latest update put or took. made,
    received, backchannels : overlaps of a class, by overlapper, overlapped, overlapper.
    """

    def __init__(self, rules: Rules) -> None:
        self.overlaps: list[OverlapEvent] = []
        self.turns: dict[str, TurnAnnotation] = {}
        self.speech_ms = self.overlap_ms = 0
        self.own_ms: Counter[str] = Counter()
        self._rules = rules
        self.voices: dict[str, Voice] = {}
        self._utterances: dict[str, tuple[Utterance, ...]] = {}
        self._sounds: dict[str, Sound] = {}
        self._shared: Counter[str] = Counter()
        self.floor = Floor()
        self.made: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.backchannels: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self.fault_counts: Counter[FaultKind] = Counter()
        self.moved: set[Fault] = set()

    @property
    def duration_ms(self) -> int:
        """From the first speech to the last."""
        if not self.voices:
            return 0
        ends = (voice.spurts[-1].end for voice in self.voices.values())
        return max(ends) - min(voice.starts[0] for voice in self.voices.values())

    def update(self, changes: Mapping[str, Sequence[Utterance]], sounds: Sounds = NO_SOUNDS) -> set[str]:
        """Replace what turns say, and how they sound.

        changes : turn_id -> where it speaks, nowhere to take it out. sounds : of the turns that sound otherwise than
        before. Returns the turns of which something else is said than before, those that do not speak any more left
        out.
        """
        self.moved = set()
        self._sounds |= sounds
        out: list[Utterance] = []
        into: list[Utterance] = []
        spliced: set[str] = set()
        for turn_id, found in changes.items():
            known = self._utterances.get(turn_id, ())
            new = tuple(found)
            if new != known:
                spliced.add(turn_id)
                out += known
                into += new
                self._utterances[turn_id] = new
                if not new:
                    del self._utterances[turn_id]
        touched = {utterance.turn_id for utterance in chain(out, into)}
        for some_out, some_in in _clusters(out, into):
            touched |= self._splice(some_out, some_in)
        for turn_id in sounds.keys() - spliced:
            for event in list(self._starting_in(turn_id, self._utterances.get(turn_id, ()))):
                touched |= self._judge_those_starting_in(event.start, event.start)
        return self._say(touched)

    def _say(self, touched: Iterable[str]) -> set[str]:
        """Bring `turns` up to date; those of which something else is said now."""
        changed = set()
        for turn_id in touched:
            own = self._utterances.get(turn_id)
            if own is None:
                self.turns.pop(turn_id, None)
                continue
            said = TurnAnnotation(self._shared[turn_id], tuple(self._starting_in(turn_id, own)))
            if self.turns.get(turn_id) != said:
                self.turns[turn_id] = said
                changed.add(turn_id)
        return changed

    def _starting_in(self, turn_id: str, own: Sequence[Utterance]) -> Iterator[OverlapEvent]:
        for utterance in own:
            index = bisect_left(self.overlaps, (utterance.start,))
            while index < len(self.overlaps) and self.overlaps[index].start == utterance.start:
                if self.overlaps[index].turn_id == turn_id:
                    yield self.overlaps[index]
                index += 1

    def _splice(self, out: Sequence[Utterance], into: Sequence[Utterance]) -> set[str]:
        """Take utterances out and put others in; the turns that this may have changed."""
        changed = Counter(out)
        joined: dict[str, tuple[int, int, list[Spurt]]] = {}
        said: dict[str, tuple[int, int]] = {}
        begin = min(utterance.start for utterance in chain(out, into))
        end = max(utterance.end for utterance in chain(out, into))
        # A pause that is joined, or parted again, is speech up to here that was none, or none that was.
        reach = begin - PAUSE_MS, end + PAUSE_MS
        for participant in {utterance.participant for utterance in chain(out, into)}:
            voice = self.voices.setdefault(participant, Voice())
            first, last = voice.between(*reach)
            kept = [one for spurt in voice.spurts[first:last] for one in spurt.utterances if not changed[one]]
            new = spurts(kept + [one for one in into if one.participant == participant])
            joined[participant] = first, last, new
            starts = [*voice.starts[first:last], *(spurt.start for spurt in new)]
            said[participant] = min(starts), max(starts)
        touched = self._touching(*reach)
        self._blame(self._repetitions(said), -1)
        before = self._count(begin, end)
        held = self.floor.between(*reach)
        for participant, (first, last, new) in joined.items():
            self.voices[participant].replace(first, last, new)
        self._blame(self._repetitions(said), 1)
        for participant in joined:
            if not self.voices[participant].spurts:
                del self.voices[participant]
        after = self._count(begin, end)
        holders = self._holders_in(*reach)
        for neighbours, step in zip(self.floor.replace(*held, holders), (-1, 1), strict=True):
            self._blame(chain.from_iterable(of_transfer(*one) for one in neighbours), step)
        self.speech_ms += after.speech - before.speech
        self.overlap_ms += after.overlap - before.overlap
        for totals, now, then in ((self.own_ms, after.own, before.own), (self._shared, after.shared, before.shared)):
            for name in now.keys() | then.keys():
                totals[name] += now[name] - then[name]
                if not totals[name]:
                    del totals[name]
        moved = {turn_id for turn_id, _ in before.shared.items() ^ after.shared.items()}
        return moved | self._judge(*reach, touched | self._touching(*reach))

    def _repetitions(self, ranges: Mapping[str, tuple[int, int]]) -> list[Fault]:
        """What participants say again that depends on the spurts of theirs that start in a range."""
        return [
            fault
            for participant, (begin, end) in ranges.items()
            for fault in of_speech(self.voices[participant], begin, end + WITHIN_MS)
        ]

    def _touching(self, begin: int, end: int) -> set[int]:
        """Where the spurts start that are near [begin, end]: how they end, and who has the floor then, may change.

        An overlap of two of them starts where the later one does, which may be long before.
        """
        found: set[int] = set()
        for voice in self.voices.values():
            first, last = voice.between(begin - FLOOR_TAKEN_MS, end + FLOOR_TAKEN_MS)
            found.update(voice.starts[first:last])
        return found

    def _judge(self, begin: int, end: int, starts: Iterable[int]) -> set[str]:
        """Find the overlaps anew that start in the context of [begin, end], or at one of `starts`; the turns in which
        those lie that changed."""
        begin, end = begin - CONTEXT_MS, end + CONTEXT_MS
        stretches = [(begin, end), *((start, start) for start in starts if not begin <= start <= end)]
        return set(chain.from_iterable(self._judge_those_starting_in(*stretch) for stretch in stretches))

    def _judge_those_starting_in(self, begin: int, end: int) -> set[str]:
        first, last = bisect_left(self.overlaps, (begin,)), bisect_left(self.overlaps, (end + 1,))
        old = self.overlaps[first:last]
        new = sorted(self._event(pair) for pair in pairs(self.voices, begin, end))
        self.overlaps[first:last] = new
        gone, come = set(old) - set(new), set(new) - set(old)
        for events, step in ((gone, -1), (come, 1)):
            for event in events:
                if event.class_ == "interruption":
                    self.made[event.overlapper] += step
                    self.received[event.overlapped] += step
                elif event.class_ == "backchannel":
                    self.backchannels[event.overlapper] += step
                self._blame(event.faults, step)
        return {event.turn_id for event in gone | come}

    def _event(self, pair: Pair) -> OverlapEvent:
        judged = self._rules.judge(pair, self.voices, self._sounds)
        overlapped = pair.overlapped
        held = overlapped.held(pair.start)
        event = OverlapEvent(
            start=pair.start,
            end=pair.end,
            overlapper=pair.overlapper.participant,
            overlapped=overlapped.participant,
            kind=pair.kind,
            class_=judged.class_,
            floor_taken=pair.floor_taken,
            turn_id=pair.overlapper.utterances[0].turn_id,
            spoken_share=min(1.0, (pair.start - held.start) / (held.end - held.start)),
            confidence=judged.confidence,
            p_interruption=judged.p_interruption,
            p_backchannel=judged.p_backchannel,
            basis=judged.basis,
            evidence=judged.evidence,
            competition=judged.competition,
        )
        return event._replace(faults=tuple(of_overlap(event, pair, self.voices)))

    def _blame(self, faults: Iterable[Fault], step: int) -> None:
        """Put faults among those of the call, or with -1 take them away."""
        for fault in faults:
            if step > 0:
                insort(self.faults, fault)
            else:
                del self.faults[bisect_left(self.faults, fault)]
            self.fault_counts[fault.kind] += step
            self.moved.add(fault)

    def _count(self, begin: int, end: int) -> _Counted:
        """Speech and overlap in [begin, end)."""
        active: dict[str, list[Utterance]] = {}
        for participant, voice in self.voices.items():
            first, last = voice.between(begin, end)
            inside = [
                one._replace(start=max(one.start, begin), end=min(one.end, end))
                for spurt in voice.spurts[first:last]
                for one in spurt.utterances
                if one.start < end and one.end > begin
            ]
            if inside:
                active[participant] = inside
        activity = {participant: union((start, end) for start, end, *_ in own) for participant, own in active.items()}
        everyone = [interval for own in activity.values() for interval in own]
        shared = _shared(everyone)
        by_turn: Counter[str] = Counter()
        if shared:
            ends = [interval.end for interval in shared]
            for own in active.values():
                for one in own:
                    by_turn[one.turn_id] += _within(one, shared, ends)
        own_ms = Counter({participant: total(own) for participant, own in activity.items()})
        return _Counted(total(union(everyone)), total(shared), own_ms, by_turn)

    def _holders_in(self, begin: int, end: int) -> list[Holder]:
        found: list[Holder] = []
        for voice in self.voices.values():
            first, last = voice.between(begin, end)
            found += [Holder.of(spurt) for spurt in voice.spurts[first:last] if not is_embedded(spurt, self.voices)]
        return sorted(found)


def _clusters(
    out: Sequence[Utterance], into: Sequence[Utterance]
) -> Iterator[tuple[Sequence[Utterance], Sequence[Utterance]]]:
    """The changes, those far apart in time parted: the stretch between them is left alone."""
    if not out and not into:
        return
    changes = chain(((one, False) for one in out), ((one, True) for one in into))
    marked = sorted(changes, key=lambda change: change[0].start)
    group: list[tuple[Utterance, bool]] = []
    end = marked[0][0].end
    for one, is_new in marked:
        if one.start > end + 2 * CONTEXT_MS:
            yield _parted(group)
            group = []
        group.append((one, is_new))
        end = max(end, one.end)
    yield _parted(group)


def _parted(group: Iterable[tuple[Utterance, bool]]) -> tuple[list[Utterance], list[Utterance]]:
    parts: dict[bool, list[Utterance]] = defaultdict(list)
    for one, is_new in group:
        parts[is_new].append(one)
    return parts[False], parts[True]


def _shared(activity: Sequence[Interval]) -> list[Interval]:
    """Where two or more are active.

    a |--------|   |-----|
    b      |---------|
           |---|   |-|
    """
    edges = sorted([(start, 1) for start, _ in activity] + [(end, -1) for _, end in activity])
    found: list[Interval] = []
    active = 0
    since = 0
    for at, step in edges:  # at one instant ends (-1) sort before starts: touching is not sharing
        if step > 0 and active == 1:
            since = at
        elif step < 0 and active == 2:  # noqa: PLR2004 - two speakers
            found.append(Interval(since, at))
        active += step
    return found


def _within(utterance: Utterance, shared: Sequence[Interval], ends: Sequence[int]) -> int:
    """Time of the utterance in `shared` [ms]: its participant is active there, so the other is someone else."""
    overlap = 0
    for index in range(bisect_right(ends, utterance.start), len(shared)):
        start, end = shared[index]
        if start >= utterance.end:
            break
        overlap += min(end, utterance.end) - max(start, utterance.start)
    return overlap
