"""What speaks for and against an overlap's classes: named numbers, from its times and from the words around it.

Throughout: the *entry* is the overlapper's turn that comes in at `start`, and *held* the turn of the overlapped that it
comes into. No time is looked at that lies more than CONTEXT_MS after the start, so that what is said later does not
move a judgement: what goes on beyond counts as ending there. Of these two turns, the words are looked at as a whole.

Which of these make up the rules was found on labelled conversations (docs/decisions/0010).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from math import copysign, log1p
from typing import NamedTuple

from pipeline.dialogue.overlap import Pair
from pipeline.dialogue.spurts import Spurt, Voice
from pipeline.dialogue.vocabulary import Vocabulary, spoken

CONTEXT_MS = 10_000

NEAR_MS = 3_000
"""Who speaks how much right before and after."""

ALONE_MS = 500
AT_ONCE_MS = 200
"""A reaction takes that long (Levinson & Torreira 2015): a turn that stops sooner was not stopped by the entry."""

BRIEF_MS = 4_000
STAYS_SILENT_MS = 2_000

FROM_TIMES: dict[str, str] = {
    "entry_embedded": "1 when the overlapper is silent again over 200 ms before the held turn stops",
    "entry_length": "log length of the entry",
    "entry_speech_after_3s": "log speech of the overlapper in the 3 s from the entry on",
    "entry_speech_before_3s": "log speech of the overlapper in the 3 s before the entry",
    "held_before_4s": "1 when the held turn has run for less than 4 s",
    "held_chained": "1 when the overlapped's next turn follows without a pause",
    "held_goes_on": "log time from the entry to the held turn's stop",
    "held_pause_before": "log pause of the overlapped before it began, of 10 s when it was silent for so long",
    "held_so_far": "log time the held turn has run at the entry",
    "held_speech_after": "seconds the overlapped speaks from the held turn's stop to 10 s after the entry",
    "held_stops_at_once": "1 when the held turn stops within 200 ms",
    "later_entry": "1 when anyone comes in later during the held turn",
    "resumes_2s_after_entry": "1 when the overlapped is silent for over 2 s after the overlapper",
    "solo_500": "1 when the overlapper goes on alone for over 500 ms",
}

FROM_WORDS: dict[str, str] = {
    "entry_all_continuer": "1 when all words of the entry are continuers (mm-hmm)",
    "entry_assesses": "1 when the entry has an assessment (great)",
    "entry_backchannel_share": "share of a listener's words in the entry",
    "entry_first_acknowledge": "1 when the entry begins with an acknowledgement (yeah, okay)",
    "entry_first_news": "1 when the entry begins with a mark of news (oh, really)",
    "entry_incomplete": "1 when the entry ends with a function word",
    "held_all_backchannel": "1 when all words of the held turn are a listener's",
    "held_all_preface": "1 when the held turn is nothing but fillers, markers and a listener's words",
    "held_ends_conjunction": "1 when the held turn ends with a conjunction",
    "held_ends_determiner": "1 when the held turn ends with an article, possessive, preposition or adverb of degree",
    "held_ends_either": "1 when the held turn ends with one of these three that complete turns end with as well (it)",
    "held_ends_filler": "1 when the held turn ends with a filler (um), and is more than a preface",
    "held_ends_function_before": "1 when the last word but one of the held turn is a function word",
    "held_ends_pronoun": "1 when the held turn ends with a pronoun or auxiliary",
    "held_words": "log number of words of the held turn",
    "later_worded_entry": "1 when a later entry into the held turn is more than a listener's words",
}

FROM_SOUND: dict[str, str] = {
    "entry_higher": "how much higher the entry's turn is than its speaker so far, in robust standard deviations, to ±3",
    "entry_louder": "how much louder, the same way",
}
"""Not fitted: the conversations that were labelled have no audio."""

MOST_Z = 3.0


class Sound(NamedTuple):
    """How a turn sounds against its speaker so far: z of these features, None where there is none."""

    active_level_dbfs: float | None = None
    f0_median_hz: float | None = None


Sounds = Mapping[str, Sound]
"""By turn_id, of the turns of which something is known."""

NO_SOUNDS: Sounds = {}

VocabularyOf = Callable[[str, Sequence[str]], Vocabulary | None]
"""Of a declared language, or when none is declared of the one that most of the words are of; None for another one."""


def evidence(pair: Pair, voices: Mapping[str, Voice], vocabulary_of: VocabularyOf) -> tuple[dict[str, float], bool]:
    """The evidence on a pair, and whether it is that of words too: of the entry and of the held turn both are known.

    Costs the spurts within the context, and a look at each participant.
    """
    start, horizon = pair.start, pair.start + CONTEXT_MS
    entry, held = pair.overlapper.utterances[0], pair.overlapped.held(start)
    others = voices[pair.overlapped.participant]
    at = others.begun(pair.overlapped.start)
    stop, overlapped_end, overlapper_end = (
        min(end, horizon) for end in (held.end, pair.overlapped.end, pair.overlapper.end)
    )
    resumes = min(others.starts[at + 1], horizon) if at + 1 < len(others.starts) else horizon
    silent_from = others.spurts[at - 1].end if at else start - CONTEXT_MS
    pause_ms = pair.overlapped.start - silent_from if silent_from > start - CONTEXT_MS else CONTEXT_MS
    own = voices[pair.overlapper.participant]
    found = {
        "entry_embedded": float(overlapper_end - stop < -AT_ONCE_MS),
        "entry_length": _log(min(entry.end - start, CONTEXT_MS)),
        "entry_speech_after_3s": _log(_speech_ms(own, start, start + NEAR_MS)),
        "entry_speech_before_3s": _log(_speech_ms(own, start - NEAR_MS, start)),
        "held_before_4s": float(start - held.start < BRIEF_MS),
        "held_chained": float(held.end < pair.overlapped.end and held.end <= horizon),
        "held_goes_on": _log(max(stop - start, 0)),
        "held_pause_before": _log(pause_ms),
        "held_so_far": _log(min(start - held.start, CONTEXT_MS)),
        "held_speech_after": _speech_ms(others, stop, horizon) / 1000,
        "held_stops_at_once": float(stop - start < AT_ONCE_MS),
        "later_entry": float(any(True for _ in _later(voices, pair, stop))),
        "resumes_2s_after_entry": float(resumes - overlapper_end > STAYS_SILENT_MS),
        "solo_500": float(min(overlapper_end, resumes) - overlapped_end > ALONE_MS),
    }
    said, heard = spoken(entry.words), spoken(held.words)
    if not said or not heard:
        return found, False
    both = said + heard
    ours, theirs = vocabulary_of(entry.language, both), vocabulary_of(held.language, both)
    if ours is None or theirs is None:
        return found, False
    # What is said past the horizon is not known to end there.
    last, before = (heard[-1], heard[-2] if len(heard) > 1 else "") if held.end <= horizon else ("", "")
    is_preface = theirs.is_preface(heard)
    # A word that complete turns end with as well says less, and says it apart.
    either = last in theirs.finals
    return found | {
        "entry_all_continuer": float(ours.continuers.issuperset(said)),
        "entry_assesses": float(not ours.assessments.isdisjoint(said)),
        "entry_backchannel_share": ours.backchannels(said) / len(said),
        "entry_first_acknowledge": float(said[0] in ours.acknowledgements),
        "entry_first_news": float(said[0] in ours.news),
        "entry_incomplete": float(entry.end <= horizon and ours.is_function_word(said[-1])),
        "held_all_backchannel": float(theirs.is_backchannel(heard)),
        "held_all_preface": float(is_preface),
        "held_ends_conjunction": float(last in theirs.conjunctions and not either),
        "held_ends_determiner": float(last in theirs.determiners and not either),
        "held_ends_either": float(either),
        "held_ends_filler": float(last in theirs.fillers and not is_preface),
        "held_ends_function_before": float(theirs.is_function_word(before)),
        "held_ends_pronoun": float(last in theirs.pronouns and not either),
        "held_words": log1p(len(heard)),
        "later_worded_entry": float(any(not _is_backchannel(one, ours) for one in _later(voices, pair, stop))),
    }, True


def sound_evidence(pair: Pair, sounds: Sounds) -> dict[str, float]:
    """The evidence of how the entry sounds; that of what is not known is left out."""
    sound = sounds.get(pair.overlapper.utterances[0].turn_id)
    if sound is None:
        return {}
    known = {"entry_higher": sound.f0_median_hz, "entry_louder": sound.active_level_dbfs}
    return {name: max(-MOST_Z, min(MOST_Z, z)) for name, z in known.items() if z is not None}


def _is_backchannel(spurt: Spurt, vocabulary: Vocabulary) -> bool:
    return _is_listeners(vocabulary, spoken(spurt.utterances[0].words))


@lru_cache(4096)
def _is_listeners(vocabulary: Vocabulary, said: tuple[str, ...]) -> bool:
    return vocabulary.is_backchannel(said)


def _log(ms: float) -> float:
    """Sign and logarithm of a time: of 100 ms 0.7, of 1 s 2.4, of 10 s 4.6."""
    return copysign(log1p(abs(ms) / 100), ms)


def _speech_ms(voice: Voice, begin: int, end: int) -> int:
    """Time of the voice's spurts in [begin, end)."""
    if end <= begin:
        return 0
    first, last = voice.between(begin, end)
    return sum(max(0, min(spurt.end, end) - max(spurt.start, begin)) for spurt in voice.spurts[first:last])


def _later(voices: Mapping[str, Voice], pair: Pair, stop: int) -> Iterator[Spurt]:
    """Spurts of anyone but the overlapped that start after the pair does and before `stop`."""
    for participant, voice in voices.items():
        if participant != pair.overlapped.participant:
            index = voice.begun(pair.start) + 1
            while index < len(voice.starts) and voice.starts[index] < stop:
                yield voice.spurts[index]
                index += 1
