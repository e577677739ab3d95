"""Fits the weights of the product's rules on conversations labelled by people, and says how good they are on others.

    .venv/bin/python -m tests.evaluation.overlaps FOLDER            # leave-meetings-out cross-validation
    .venv/bin/python -m tests.evaluation.overlaps FOLDER --write    # and fit on all of it

FOLDER has a .jsonl a meeting: turns with the annotators' dialogue acts as `label`, as of the ICSI MRDA corpus (Shriberg
et al. 2004). It is not in the repository (its licence is the GPL), the weights are. With scikit-learn installed,
boosted trees stand beside the linear model.

A gold *entry* is an utterance that starts while one of another speaker runs, after 200 ms of own silence. It is an
`interruption` when the one it comes into is marked as interrupted (%-) and it is the last entry into it that is not of
the backchannel family; `backchannel` when its own first label is of that family; else `other`. Every meeting counts
twice: with the turns as annotated, and with touching turns of a speaker made one, as a recogniser has them that knows
no dialogue acts.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from pipeline.dialogue.evidence import FROM_TIMES, FROM_WORDS, evidence
from pipeline.dialogue.overlap import pairs
from pipeline.dialogue.rules import Weight, WeightedRules
from pipeline.dialogue.spurts import Utterance
from pipeline.dialogue.timeline import Timeline
from pipeline.rules import rules

CLASSES = ("interruption", "backchannel", "other")
WEIGHTS = Path(__file__).parents[2] / "pipeline" / "dialogue" / "weights" / "overlap.json"

MATCHED_MS = 250
FOLDS, INNER_FOLDS = 10, 5
PENALTY = 2.0
OFFSETS = (np.arange(-0.2, 2.41, 0.1), np.arange(-0.5, 0.51, 0.1))
BINS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.001)

_FAMILY = re.compile(r"^(b|bh)([.:|^]|$)|\^b[kah]([.:|^]|$)")
_INTERRUPTED = re.compile(r"%-(?!-)")

Array = NDArray[Any]


class Turn(NamedTuple):
    """start, end : ms."""

    start: int
    end: int
    participant: str
    turn_id: str
    text: str
    label: str


class Samples(NamedTuple):
    """values : [n, names]. classes : index in CLASSES. meetings : index. worded : whether words were known."""

    values: Array
    classes: Array
    meetings: Array
    worded: Array


class Linear:
    """Multinomial logistic regression against the last class, by maximum likelihood with an L2 penalty on standardised
    weights. bias : [2], weights : [names, 2], of the values as they are."""

    def fit(self, values: Array, classes: Array) -> Linear:
        mean, spread = values.mean(axis=0), values.std(axis=0)
        spread[spread == 0] = 1
        inputs = np.column_stack([np.ones(len(values)), (values - mean) / spread])
        wanted = np.eye(len(CLASSES))[classes]

        def loss(flat: Array) -> tuple[float, Array]:
            weights = flat.reshape(-1, 2)
            likely = log_softmax(np.column_stack([inputs @ weights, np.zeros(len(inputs))]), axis=1)
            free = np.vstack([np.zeros((1, 2)), weights[1:]])
            slope = inputs.T @ (np.exp(likely) - wanted)[:, :2] + PENALTY * free
            return float(-likely[wanted > 0].sum() + PENALTY / 2 * (free**2).sum()), slope.ravel()

        start = np.zeros(2 * inputs.shape[1])
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x.reshape(-1, 2)
        self.mean = mean
        self.weights = found[1:] / spread[:, None]
        self.bias = found[0] - mean @ self.weights
        return self

    def predict_proba(self, values: Array) -> Array:
        odds = np.column_stack([values @ self.weights + self.bias, np.zeros(len(values))])
        likely: Array = np.exp(log_softmax(odds, axis=1))
        return likely


Models = Callable[[], Any]
"""Makes what has `fit` and `predict_proba`."""


def read(path: Path) -> list[Turn]:
    """The labelled turns of a meeting."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    turns = [
        Turn(
            round(1000 * row["started_at"]),
            round(1000 * row["ended_at"]),
            row["participant"],
            row["turn_id"],
            row["text"],
            row["label"],
        )
        for row in rows
        if row["label"] not in ("x", "")
    ]
    return sorted((turn for turn in turns if turn.end > turn.start), key=lambda turn: turn.start)


def joined(turns: Sequence[Turn]) -> list[Turn]:
    """Touching turns of a speaker made one."""
    last: dict[str, int] = {}
    found: list[Turn] = []
    for turn in turns:
        index = last.get(turn.participant)
        if index is not None and turn.start <= found[index].end:
            before = found[index]
            found[index] = before._replace(end=max(before.end, turn.end), text=f"{before.text} {turn.text}".strip())
        else:
            last[turn.participant] = len(found)
            found.append(turn)
    return found


def is_backchannel(turn: Turn) -> bool:
    return bool(_FAMILY.search(turn.label.split("|")[0]))


def gold(turns: Sequence[Turn]) -> Iterator[tuple[int, str, str, str]]:
    """(start, overlapper, overlapped, class) of each entry."""
    own: dict[str, list[Turn]] = defaultdict(list)
    for turn in turns:
        own[turn.participant].append(turn)
    ends = {participant: [turn.end for turn in theirs] for participant, theirs in own.items()}

    def was_silent(turn: Turn) -> bool:
        first = bisect_left(ends[turn.participant], turn.start - 199)
        others = own[turn.participant][first : first + 3]
        return not any(other is not turn and other.start < turn.start for other in others)

    for index, held in enumerate(turns):
        entries = []
        for turn in turns[index + 1 :]:
            if turn.start >= held.end:
                break
            if turn.participant != held.participant and turn.start > held.start and was_silent(turn):
                entries.append(turn)
        last = next((turn for turn in reversed(entries) if not is_backchannel(turn)), None)
        for turn in entries:
            if turn is last and _INTERRUPTED.search(held.label):
                found = "interruption"
            else:
                found = "backchannel" if is_backchannel(turn) else "other"
            yield turn.start, turn.participant, held.participant, found


def samples(meetings: Sequence[Sequence[Turn]], ours: WeightedRules, *, join: bool) -> Samples:
    """The evidence on every gold entry; entries that no overlap matches are left out, and told."""
    names = [*FROM_TIMES, *FROM_WORDS]
    values, classes, groups, worded, lost = [], [], [], [], 0
    for number, turns in enumerate(meetings):
        timeline = Timeline(rules("plain"))
        spoken = joined(turns) if join else turns
        timeline.update(
            {
                one.turn_id: [Utterance(one.start, one.end, one.turn_id, one.participant, one.text or None)]
                for one in spoken
            }
        )
        found: dict[tuple[str, str], list[tuple[int, Mapping[str, float], bool]]] = defaultdict(list)
        for pair in sorted(pairs(timeline.voices, -(2**62), 2**62)):
            told = evidence(pair, timeline.voices, ours.vocabulary_of)
            found[pair.overlapper.participant, pair.overlapped.participant].append((pair.start, *told))
        for start, overlapper, overlapped, class_ in gold(turns):
            near = min(found[overlapper, overlapped], key=lambda one: abs(one[0] - start), default=None)
            if near is None or abs(near[0] - start) > MATCHED_MS:
                lost += 1
                continue
            values.append([near[1].get(name, 0.0) for name in names])
            classes.append(CLASSES.index(class_))
            groups.append(number)
            worded.append(near[2])
    print(
        f"{len(classes)} entries, {'touching turns joined' if join else 'turns as annotated'}; {lost} match no overlap"
    )
    return Samples(*(np.array(part) for part in (values, classes, groups, worded)))


def predicted(
    both: Sequence[Samples], train: Array, test: Array, models: Models, chosen: Sequence[Sequence[int]]
) -> Array:
    """Probabilities [n, 3] for `test` of the first samples, by models fitted on `train` of both."""
    with_words, with_times = chosen
    one = both[0]
    times = _fitted(both, train, models, with_times, worded=False)
    likely: Array = times.predict_proba(one.values[test][:, with_times])
    worded = one.worded[test]
    if with_words and worded.any():
        words = _fitted(both, train, models, with_words, worded=True)
        likely[worded] = words.predict_proba(one.values[test][worded][:, with_words])
    return likely


def _fitted(both: Sequence[Samples], train: Array, models: Models, columns: Sequence[int], *, worded: bool) -> Any:
    kept = [train & part.worded if worded else train for part in both]
    values = np.concatenate([part.values[rows][:, columns] for part, rows in zip(both, kept, strict=True)])
    classes = np.concatenate([part.classes[rows] for part, rows in zip(both, kept, strict=True)])
    return models().fit(values, classes)


def f1(classes: Array, found: Array) -> Array:
    """F1 of each class."""
    counts = np.zeros((3, 3))
    np.add.at(counts, (classes, found), 1)
    both: Array = 2 * np.diag(counts) / np.maximum(1, counts.sum(axis=0) + counts.sum(axis=1))
    return both


def tuned(likely: Array, classes: Array) -> Array:
    """The offsets of the first two classes that give the greatest macro F1."""
    logs = np.log(likely + 1e-9)
    grid = [np.array([one, other, 0]) for one in OFFSETS[0] for other in OFFSETS[1]]
    return max(grid, key=lambda offset: f1(classes, (logs + offset).argmax(axis=1)).mean())


def folds(meetings: Array, count: int, seed: int) -> Array:
    """The fold of each sample; a meeting is in one."""
    order = np.random.default_rng(seed).permutation(meetings.max() + 1)
    fold_of = np.empty(len(order), int)
    fold_of[order] = np.arange(len(order)) % count
    of_each: Array = fold_of[meetings]
    return of_each


def cross_validated(both: Sequence[Samples], models: Models, chosen: Sequence[Sequence[int]]) -> tuple[Array, Array]:
    """Probabilities and classes of the first samples, each by what was fitted, and tuned, on other meetings."""
    one = both[0]
    fold = folds(one.meetings, FOLDS, 0)
    inner = folds(one.meetings, INNER_FOLDS, 100)
    likely, found = np.zeros((len(fold), 3)), np.zeros(len(fold), int)
    for number in range(FOLDS):
        test = fold == number
        likely[test] = predicted(both, ~test, test, models, chosen)
        held_out = np.zeros((len(fold), 3))
        for part in range(INNER_FOLDS):
            rows = (inner == part) & ~test
            held_out[rows] = predicted(both, (inner != part) & ~test, rows, models, chosen)
        offset = tuned(held_out[~test], one.classes[~test])
        found[test] = (np.log(likely[test] + 1e-9) + offset).argmax(axis=1)
    return likely, found


def report(title: str, classes: Array, found: Array) -> None:
    print(f"\n{title}: macro F1 {f1(classes, found).mean():.3f}")
    for index, name in enumerate(CLASSES):
        hits = int(((classes == index) & (found == index)).sum())
        precision, recall = hits / max(1, int((found == index).sum())), hits / int((classes == index).sum())
        print(f"  {name:13} precision {precision:.3f} recall {recall:.3f} F1 {f1(classes, found)[index]:.3f}")


def reliability(likely: Array, classes: Array) -> None:
    """Of those given a probability, how many were so."""
    for index in (0, 1):
        print(f"\n{CLASSES[index]}: probability given | n | mean | observed")
        for low, high in pairwise(BINS):
            rows = (likely[:, index] >= low) & (likely[:, index] < high)
            if rows.any():
                observed = (classes[rows] == index).mean()
                print(
                    f"  {low:.2f}-{min(high, 1):.2f} | {rows.sum()} | {likely[rows, index].mean():.3f} | {observed:.3f}"
                )


def written(
    both: Sequence[Samples],
    chosen: Mapping[str, Sequence[str]],
    names: Sequence[str],
    offsets: Any,
    sound: Mapping[str, Weight],
) -> str:
    """The weights' file, fitted on all. sound : what is not fitted, and stays."""
    everything = np.ones(len(both[0].classes), bool)
    models: dict[str, Any] = {}
    for basis, own in chosen.items():
        model = _fitted(both, everything, Linear, [names.index(name) for name in own], worded=basis == "words")
        models[basis] = {
            "bias": dict(zip(CLASSES, np.round(model.bias, 4).tolist(), strict=False)),
            "offset": dict(zip(CLASSES, np.round(offsets[basis][:2], 2).tolist(), strict=False)),
            "weights": {
                name: {
                    **dict(zip(CLASSES, np.round(weights, 4).tolist(), strict=False)),
                    "mean": round(float(mean), 3),
                }
                for name, weights, mean in zip(own, model.weights, model.mean, strict=True)
            },
        }
    fitted_on = (
        f"ICSI MRDA: {both[0].meetings.max() + 1} meetings, {len(both[0].classes):,} entries, with the turns as "
        "annotated and with touching turns joined"
    )
    text = json.dumps({"fitted_on": fitted_on, "models": models, "sound": msgspec.to_builtins(sound)}, indent=1)
    # A line for each piece of evidence: that is what a reviewer compares.
    return re.sub(r"\{\s+(\"interruption\"[^}]*?)\s+\}", lambda m: "{" + re.sub(r"\s+", " ", m[1]) + "}", text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true", help=f"fit on all, and write {WEIGHTS.name}")
    asked = parser.parse_args()
    meetings = [read(path) for path in sorted(asked.folder.glob("*.jsonl"))]
    if not meetings:
        sys.exit(f"{asked.folder}: no .jsonl of meetings")
    ours = rules("product")
    assert isinstance(ours, WeightedRules)
    as_annotated, as_joined = (samples(meetings, ours, join=join) for join in (False, True))
    both = (as_annotated, as_joined)
    names = [*FROM_TIMES, *FROM_WORDS]
    chosen: dict[str, list[str]] = {basis: sorted(model.weights) for basis, model in ours.models.items()}
    words, times = ([names.index(name) for name in chosen[basis]] for basis in ("words", "times"))
    classes = as_annotated.classes
    likely, found = cross_validated(both, Linear, (words, times))
    report("linear, turns as annotated", classes, found)
    reliability(likely, classes)
    _, found = cross_validated((as_joined, as_annotated), Linear, (words, times))
    report("linear, touching turns joined", classes, found)
    by_times, found = cross_validated(both, Linear, ([], times))
    report("linear, times alone", classes, found)
    reliability(by_times, classes)
    try:
        from sklearn.ensemble import (  # type: ignore[import-not-found] # noqa: PLC0415
            HistGradientBoostingClassifier,
        )
    except ImportError:
        print("\nboosted trees: not compared, scikit-learn is not installed")
    else:
        trees = lambda: HistGradientBoostingClassifier(  # noqa: E731
            max_iter=150,
            learning_rate=0.06,
            max_leaf_nodes=12,
            min_samples_leaf=40,
            l2_regularization=5,
            random_state=0,
        )
        report("boosted trees, turns as annotated", classes, cross_validated(both, trees, (words, times))[1])
    if asked.write:
        offsets = {"words": tuned(likely, classes), "times": tuned(by_times, classes)}
        WEIGHTS.write_text(written(both, chosen, names, offsets, ours.sound), encoding="utf-8")
        print(f"\nwritten: {WEIGHTS.name}")


if __name__ == "__main__":
    main()
