"""python -m tests.evaluation.report: measure how accurate the features are; writes the tables of docs/accuracy.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import opensmile
import parselmouth
import scipy
from scipy.stats import spearmanr

from deploy.generate import BEGIN, END
from schemas.features import F0Estimator
from tests.evaluation import sample, smile
from tests.evaluation.accuracy import (
    CLEAN,
    NOISY,
    TELEPHONE,
    activity_f1,
    agreement,
    energy,
    independent_errors,
    intensity_errors,
    measured,
    ours,
    pitch_errors,
    silero,
    speech_of,
    webrtc,
)
from tests.evaluation.corpus import call, meetings, turns

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"
ESTIMATORS: tuple[F0Estimator, ...] = ("autocorrelation", "dio", "harvest")


def main() -> None:
    sample.fetch()
    before, _, after = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    made = "\n".join(_sections())
    PAGE.write_text(f"{before}{BEGIN}{made}\n{END}{after.partition(END)[2]}", encoding="utf-8")


def _sections() -> Iterator[str]:
    yield (
        f"Measured on {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}, scipy "
        f"{scipy.__version__}, Praat {parselmouth.PRAAT_VERSION}, openSMILE {opensmile.__version__} (eGeMAPSv02).\n"
    )
    yield "### F0 against Praat's autocorrelation\n"
    yield from _pitch()
    yield "\n### F0 against Harvest, which shares no method with the estimators above it\n"
    yield from _independent()
    yield "\n### Intensity, voice quality and syllables against Praat\n"
    yield from _voice()
    yield "\n### Rank correlation with openSMILE, 47 turns\n"
    yield from _smile()
    yield "\n### Voice activity, F1 of frames\n"
    yield from _activity()


def _pitch() -> Iterator[str]:
    head = ("condition", "estimator", "gross error", "voicing error", "turn median off, p50", "p90")
    rows = []
    for condition in (CLEAN, TELEPHONE):
        for part in ("report", None):
            for estimator in ESTIMATORS if part is None else ESTIMATORS[:1]:
                found = pitch_errors(condition, estimator=estimator, part="report" if part else None)
                name = f"{condition}{', report speakers' if part else ''}"
                rows.append((name, estimator, *(_percent(value) for value in found)))
    for condition in NOISY:
        found = pitch_errors(condition)
        rows.append((str(condition), "autocorrelation", *(_percent(value) for value in found)))
        found = pitch_errors(condition, clean_reference=True)
        rows.append((f"{condition}; Praat without noise", "autocorrelation", *(_percent(value) for value in found)))
    yield from _table(head, rows)


def _independent() -> Iterator[str]:
    rows = [
        (str(condition), estimator, *(_percent(value) for value in independent_errors(condition, estimator)))
        for condition in (CLEAN, TELEPHONE)
        for estimator in ESTIMATORS[:2]
    ]
    yield from _table(("condition", "estimator", "gross error", "voicing error"), rows)


def _voice() -> Iterator[str]:
    head = (
        *("condition", "turn mean off, greatest", "frames' median off, greatest", "HNR, rank", "jitter, rank"),
        *("shimmer, rank", "syllable rate off, p50", "p90"),
    )
    rows = []
    for condition in (CLEAN, TELEPHONE, *NOISY):
        mean_db, frames_db = intensity_errors(condition)
        found = agreement(condition)
        ranks = (f"{value:.3f}" for value in found[:3])
        rows.append(
            (str(condition), f"{mean_db:.3f} dB", f"{frames_db:.3f} dB", *ranks, *(_percent(v) for v in found[3:]))
        )
        if condition in (CLEAN, TELEPHONE):
            found = agreement(condition, part="report")
            ranks = (f"{value:.3f}" for value in found[:3])
            rows.append((f"{condition}, report speakers", "", "", *ranks, *(_percent(v) for v in found[3:])))
    yield from _table(head, rows)


def _smile() -> Iterator[str]:
    extractor = smile.extractor()
    rows = []
    for condition in (CLEAN, TELEPHONE):
        theirs = [smile.functionals(extractor, condition.of(turn.sound, speech_of(turn))) for turn in turns()]
        features = [measured(turn, condition).features for turn in turns()]
        ranks = []
        for name, other in smile.SAME.items():
            pairs = np.array(
                [(getattr(mine, name), their[other]) for mine, their in zip(features, theirs, strict=True)]
            )
            ranks.append(float(spearmanr(pairs.astype(float), nan_policy="omit").statistic))
        rows.append((str(condition), *(f"{rank:.3f}" for rank in ranks)))
    yield from _table(("condition", *smile.SAME), rows)


def _activity() -> Iterator[str]:
    detectors = {
        "ours": ours,
        "energy rule": energy,
        **{f"webrtcvad {mode}": webrtc(mode, bridged=False) for mode in (1, 2, 3)},
        "webrtcvad 2, bridged": webrtc(2, bridged=True),
        "Silero": silero,
    }
    for title, conversations, half in (
        ("Call, second half (the first was for tuning):", [call()], 1),
        ("Call, whole:", [call()], None),
        ("Meetings:", meetings(), None),
    ):
        yield f"\n{title}\n"
        rows = []
        for condition in (CLEAN, TELEPHONE, *NOISY):
            scores = (activity_f1(detector, condition, conversations, half=half) for detector in detectors.values())
            rows.append((str(condition), *(f"{score:.3f}" for score in scores)))
        yield from _table(("condition", *detectors), rows)


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for line in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(line)} |"


if __name__ == "__main__":
    main()
