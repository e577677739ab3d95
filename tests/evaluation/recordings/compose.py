"""Make the recordings anew from the packages they come from. `PROVENANCE.md` says where to get those and why we may.

`cuts.csv` says what is cut: `python tests/evaluation/recordings/compose.py SOURCES` writes the samples [first, end) of
each source, at its own level and 16 kHz, as FLAC, and of the hand annotation of a meeting the lines of its excerpt.
Nothing else is done to the sound. A source whose SHA-256 is not the one in `cuts.csv` is refused.
"""

import argparse
import csv
import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

RATE = 16_000
FULL_SCALE = 32_768

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Cut:
    """One file to write. first, end : the samples of the source it holds, [first, end)."""

    file: str
    source: str
    first: int
    end: int
    source_sha256: str


def read_cuts(path: Path) -> list[Cut]:
    """The rows of cuts.csv."""
    with path.open(encoding="utf-8", newline="") as opened:
        return [
            Cut(row["file"], row["source"], int(row["first"]), int(row["end"]), row["source_sha256"])
            for row in csv.DictReader(opened)
        ]


def checked(path: Path, sha256: str) -> bytes:
    """The bytes of a source. Raises ValueError when they are not the expected ones."""
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise ValueError(f"{path}: its SHA-256 is {digest}, not {sha256}; take the version in PROVENANCE.md")
    return data


def decode_g722(data: bytes) -> Samples:
    """ITU-T G.722 at 64 kbit/s; its decoder is defined bit by bit. Needs the package `G722` of PROVENANCE.md."""
    try:
        codec = importlib.import_module("G722")
    except ImportError as error:
        raise ValueError("the telephone prompts are G.722; install the package of that name: G722==1.2.8") from error
    return np.asarray(codec.G722(RATE, 64_000).decode(data), dtype=np.int16)


def decode(path: Path, data: bytes) -> Samples:
    """The samples of a source. Raises ValueError when it is not 16 kHz mono, or not exact in 16 bits."""
    if path.suffix == ".g722":
        return decode_g722(data)
    samples, rate = soundfile.read(path, dtype="float64")
    scaled = np.asarray(samples, dtype=np.float64) * FULL_SCALE
    if rate != RATE or scaled.ndim != 1:
        raise ValueError(f"{path}: {rate} Hz, {scaled.ndim} dimensions; {RATE} Hz mono is needed")
    decoded: Samples = scaled.astype(np.int16)
    if not np.array_equal(decoded, scaled):
        raise ValueError(f"{path}: it has samples which 16 bits cannot hold; 16 bits are needed")
    return decoded


def annotation_of(uri: str, rttm: bytes) -> bytes:
    """The lines of an RTTM file which are about one recording, as they are."""
    return b"".join(line for line in rttm.splitlines(keepends=True) if line.split()[1] == uri.encode())


def compose(sources: Path, into: Path) -> list[str]:
    """Write every file of cuts.csv under `into`; the rows of the table in PROVENANCE.md are returned."""
    into.mkdir(parents=True, exist_ok=True)
    table: list[str] = []
    uris: dict[str, str] = {}
    for cut in read_cuts(Path(__file__).with_name("cuts.csv")):
        source, target = sources / cut.source, into / cut.file
        data = checked(source, cut.source_sha256)
        span = f"{cut.first} to {cut.end}"
        if target.suffix == ".rttm":
            uri = uris[target.stem]
            target.write_bytes(annotation_of(uri, data))
            span = f"lines of `{uri}`"
        else:
            uris[target.stem] = source.stem
            samples = decode(source, data)
            if not 0 <= cut.first < cut.end <= len(samples):
                raise ValueError(f"{cut.file}: samples {span} of {source}, which has {len(samples)}")
            piece = samples[cut.first : cut.end]
            soundfile.write(target, piece, RATE, format="FLAC", subtype="PCM_16", compression_level=1.0)
        digest = hashlib.sha256(target.read_bytes()).hexdigest()
        table.append(f"| `{cut.file}` | `{source.name}` | {span} | `{digest}` |")
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make the recordings from the packages they come from.")
    parser.add_argument("sources", type=Path, help="folder with the unpacked packages of PROVENANCE.md")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent, help="default: beside this script")
    arguments = parser.parse_args()
    for row in compose(arguments.sources, arguments.into):
        print(row)


if __name__ == "__main__":
    main()
