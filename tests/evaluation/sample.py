"""The hand-annotated half minute that the wheel of pyannote.audio ships: python -m tests.evaluation.sample fetches it.

A telephone call between two people, 16 kHz, with who speaks when (RTTM). It is not in this repository, since the wheel
does not say whose the recording is; pip brings the wheel, pinned by its hash, without what it depends on.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent / ".sample"
SOUND, SPEECH = FOLDER / "sample.wav", FOLDER / "sample.rttm"

WHEEL = "pyannote.audio==4.0.7 --hash=sha256:852ea15c4d85bc34773e618267603ffca6a521669a74d33742692cc67fc700d6"


def fetch() -> None:
    """Bring the sample, unless it is there. Raises CalledProcessError when pip can't."""
    if SOUND.exists() and SPEECH.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wheel.txt"
        wanted.write_text(f"{WHEEL}\n", encoding="utf-8")
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
                *("--only-binary=:all:", "--require-hashes", "--requirement", str(wanted), "--dest", folder),
            ],
            check=True,
        )
        (wheel,) = Path(folder).glob("*.whl")
        archive = zipfile.ZipFile(io.BytesIO(wheel.read_bytes()))
    FOLDER.mkdir(exist_ok=True)
    # The sound last: it says that all is there.
    for path in (SPEECH, SOUND):
        path.write_bytes(archive.read(f"pyannote/audio/sample/{path.name}"))


if __name__ == "__main__":
    fetch()
