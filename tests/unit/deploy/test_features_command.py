"""`mise-voice features`: the contract of its JSON, what it does with bad files, and its picture."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
import numpy as np
import pytest
import soundfile

from deploy import cli
from deploy.features_of_files import MeasuredFile, Reading, measure_file
from deploy.features_plot import envelope, png
from deploy.features_table import shown_value
from pipeline.audio.decode import Floats
from pipeline.measure import measure
from schemas.features import F0Estimator, Features
from schemas.turn import RAW_FORMATS, Audio, AudioChannel
from tests.records import received_turn

EXAMPLES = Path(cli.__file__).parent / "example" / "audio"
CALLER, AGENT = EXAMPLES / "02-caller.flac", EXAMPLES / "03-agent.flac"
RATE = 16_000


class Ran(NamedTuple):
    status: object
    out: str
    err: str

    @property
    def objects(self) -> list[Any]:
        return [json.loads(line, parse_constant=pytest.fail) for line in self.out.splitlines()]


Command = Callable[..., Ran]


@pytest.fixture
def features(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command, run with these arguments."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["mise-voice", "features", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return Ran(caught.value.code, *capsys.readouterr())

    return run


def voice(seconds: float = 1.0, hz: float = 150.0) -> Floats:
    """Harmonics, as a voice has them."""
    times = np.arange(round(seconds * RATE)) / RATE
    return sum((0.1 * np.sin(2 * np.pi * k * hz * times) for k in range(1, 9)), np.zeros(len(times))).astype(np.float32)


def silence(seconds: float) -> Floats:
    return np.zeros(round(seconds * RATE), np.float32)


def wav(path: Path, *parts: Floats, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, np.concatenate(parts), RATE, subtype=subtype)
    return path


# ----------------------------------------------------------------------------------------------------------------------
# The contract


def test_json_is_one_object_of_the_contract(features: Command) -> None:
    ran = features(CALLER, "--json")
    assert (ran.status, ran.err) == (0, "")
    (found,) = ran.objects
    assert list(found) == ["file", "features", "segments", "tracks"]
    assert found["file"] == str(CALLER)
    assert list(found["features"]) == list(Features.__struct_fields__)
    assert {type(value) for name, value in found["features"].items() if name != "final_contour"} <= {
        int,
        float,
        type(None),
    }
    assert found["features"]["final_contour"] in {"rise", "fall", "level"}
    assert all(list(segment) == ["start_s", "end_s"] for segment in found["segments"])
    assert all(0 <= segment["start_s"] < segment["end_s"] <= 6.51 for segment in found["segments"])
    tracks = found["tracks"]
    assert list(tracks) == ["hop_s", "f0_hz", "level_dbfs"]
    assert tracks["hop_s"] == 0.01
    assert len(tracks["f0_hz"]) == len(tracks["level_dbfs"]) == 651


def test_tracks_are_null_where_unvoiced_and_rounded(features: Command, tmp_path: Path) -> None:
    # s      0       1            2       3
    #        silence | voice 150  | silence
    (found,) = features(wav(tmp_path / "a.wav", silence(1), voice(), silence(1)), "--json").objects
    f0_hz = found["tracks"]["f0_hz"]
    assert set(f0_hz[:90] + f0_hz[210:]) == {None}
    assert f0_hz[110:190] == pytest.approx([150.0] * 80, abs=0.5)
    for value in [each for each in f0_hz if each is not None] + found["tracks"]["level_dbfs"]:
        assert value == round(value, 2)
        assert np.isfinite(value)


def test_nothing_measured_is_null(features: Command, tmp_path: Path) -> None:
    ran = features(wav(tmp_path / "silent.wav", silence(1)), "--json")
    (found,) = ran.objects
    assert ran.status == 0
    assert found["features"]["level_dbfs"] is None
    assert found["features"]["f0_median_hz"] is None
    assert found["segments"] == []
    assert set(found["tracks"]["f0_hz"]) == {None}


@pytest.mark.parametrize("estimator", get_args(F0Estimator))
def test_features_are_those_of_the_stage(features: Command, estimator: F0Estimator) -> None:
    data = CALLER.read_bytes()
    turn = received_turn(0, 6_510, text="", audio=Audio("k", "flac", len(data)))
    measured = measure(turn, data, longest_s=60, estimator=estimator)
    (found,) = features(CALLER, "--json", "--f0", estimator).objects
    assert found["features"] == json.loads(msgspec.json.encode(msgspec.structs.asdict(measured.features)))
    assert [(each["start_s"], each["end_s"]) for each in found["segments"]] == [
        (each.start_ms / 1000, each.end_ms / 1000) for each in measured.segments
    ]


def test_setting_chooses_the_estimator_as_it_does_for_the_stage(
    features: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_option, by_default = features(AGENT, "--json", "--f0", "harvest"), features(AGENT, "--json")
    monkeypatch.setenv("MISE_VOICE_FEATURES_F0", "harvest")
    assert features(AGENT, "--json").out == by_option.out != by_default.out


def test_several_files_are_json_lines_in_order(features: Command) -> None:
    ran = features(CALLER, AGENT, "--json")
    assert ran.status == 0
    assert [found["file"] for found in ran.objects] == [str(CALLER), str(AGENT)]
    assert ran.out == features(CALLER, "--json").out + features(AGENT, "--json").out


def test_choices_are_those_of_the_schemas() -> None:
    assert {each.value for each in cli.RawFormat} == RAW_FORMATS
    assert {each.value for each in cli.F0} == set(get_args(F0Estimator))
    assert {each.value for each in cli.Channel} == {str(each) for each in get_args(AudioChannel)}


# ----------------------------------------------------------------------------------------------------------------------
# Formats and channels


@pytest.mark.parametrize(
    ("container", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "OPUS"), ("MP3", None)]
)
def test_format_is_found_in_the_bytes_not_in_the_name(
    features: Command, tmp_path: Path, container: str, subtype: str | None
) -> None:
    path = tmp_path / "recording.bin"
    soundfile.write(path, voice(), RATE, format=container, subtype=subtype)
    ran = features(path, "--json")
    assert ran.status == 0, ran.err
    assert ran.objects[0]["features"]["f0_median_hz"] == pytest.approx(150, abs=1)


@pytest.mark.parametrize(("name", "subtype"), [("pcm_s16le", "PCM_16"), ("mulaw", "ULAW")])
def test_raw_samples_with_a_declared_rate_are_those_of_a_wav(
    features: Command, tmp_path: Path, name: str, subtype: str
) -> None:
    raw = tmp_path / "a.raw"
    soundfile.write(raw, voice(), RATE, format="RAW", subtype=subtype, endian="LITTLE" if name != "mulaw" else None)
    ran = features(raw, "--json", "--format", name, "--sample-rate", "16000")
    assert ran.status == 0, ran.err
    (expected,) = features(wav(tmp_path / "a.wav", voice(), subtype=subtype), "--json").objects
    assert ran.objects[0]["features"] == expected["features"]


def test_channel_is_chosen(features: Command, tmp_path: Path) -> None:
    left, right = voice(hz=120), voice(hz=240)
    path = wav(tmp_path / "stereo.wav", np.stack([left, right], axis=1))
    raw = tmp_path / "stereo.raw"
    soundfile.write(raw, np.stack([left, right], axis=1), RATE, format="RAW", subtype="PCM_16", endian="LITTLE")
    for arguments in ([path], [raw, "--format", "pcm_s16le", "--sample-rate", "16000", "--channels", "2"]):
        medians = [
            features(*arguments, "--json", "--channel", channel).objects[0]["features"]["f0_median_hz"]
            for channel in ("0", "1")
        ]
        assert medians == pytest.approx([120, 240], abs=1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--format", "mulaw"], "--sample-rate"),
        (["--sample-rate", "8000"], "--format"),
        (["--channels", "2"], "--format"),
        (["--format", "pcm_s16le", "--sample-rate", "10"], "8000"),
        (["--format", "wav"], "pcm_s16le"),
        (["--channel", "2"], "mix"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(features: Command, arguments: list[str], says: str) -> None:
    ran = features(CALLER, "--json", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.err


# ----------------------------------------------------------------------------------------------------------------------
# Bad files


def bad_files(folder: Path) -> Sequence[tuple[Path, str]]:
    """Files, and the reason that is given for each."""
    data = wav(folder / "whole.wav", voice()).read_bytes()
    files = {
        "cut.wav": (data[:-100], "truncated"),
        "empty.wav": (b"", "empty"),
        "text.wav": (b"no audio at all", "not_audio: the first bytes are those of no wav, flac, ogg or mp3"),
        "junk.flac": (b"fLaC" + bytes(100), "undecodable"),
    }
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    not_finite = wav(folder / "nan.wav", np.full(1_000, np.nan, np.float32), subtype="FLOAT")
    return [
        *((folder / name, reason) for name, (_, reason) in files.items()),
        (not_finite, "not_finite"),
        (folder / "missing.wav", "can't be read: No such file or directory"),
        (folder, "can't be read: Is a directory"),
    ]


def test_bad_file_is_named_with_its_reason_and_the_others_are_printed(features: Command, tmp_path: Path) -> None:
    for path, reason in bad_files(tmp_path):
        ran = features(path, AGENT, "--json")
        assert ran.status == 1
        assert [found["file"] for found in ran.objects] == [str(AGENT)]
        assert ran.err.startswith(f"mise-voice: {path}: ")
        assert reason in ran.err
        assert ran.err.count("\n") == 1


def test_bad_file_alone_prints_nothing(features: Command, tmp_path: Path) -> None:
    for arguments in ([], ["--json"], ["--plot", tmp_path / "out.png"]):
        ran = features(tmp_path / "missing.wav", *arguments)
        assert (ran.status, ran.out) == (1, "")
    assert not (tmp_path / "out.png").exists()


def test_raw_samples_end_with_a_whole_frame(features: Command, tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(1_001))
    ran = features(tmp_path / "a.raw", "--json", "--format", "pcm_s16le", "--sample-rate", "8000")
    assert ran.status == 1
    assert "1001 bytes are no whole number of pcm_s16le frames of 2 bytes" in ran.err


def test_audio_is_as_long_as_the_stage_takes(features: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISE_VOICE_AUDIO_SECONDS", "2")
    ran = features(CALLER, AGENT, "--json")
    assert ran.status == 1
    assert "too_long" in ran.err
    assert [found["file"] for found in ran.objects] == [str(AGENT)]


@pytest.mark.skipif(sys.platform == "darwin", reason="APFS refuses such names")
def test_name_that_is_no_text_is_shown_as_text(features: Command, tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", voice(0.1)).rename(tmp_path / "caf\udce9 \x1b[2J.wav")
    (found,) = features(path, "--json").objects
    assert found["file"].endswith("caf\ufffd \x1b[2J.wav")
    assert "caf\ufffd \ufffd[2J.wav" in features(path).out
    assert "\x1b[2J" not in features(path.with_suffix(".none")).err


# ----------------------------------------------------------------------------------------------------------------------
# For people


def test_table_names_every_feature_with_its_value_and_unit(features: Command) -> None:
    ran = features(CALLER)
    assert (ran.status, ran.err) == (0, "")
    rows = {
        cells[1]: cells[2:4]
        for cells in (list(map(str.strip, line.split("│")[1:])) for line in ran.out.splitlines())
        if len(cells) > 3
    }
    assert list(rows) == list(Features.__struct_fields__)
    assert rows["duration_s"] == ["6.510", "s"]
    assert rows["words_per_minute"] == ["—", "1/min"]
    assert "speech [s]: 0.00–" in ran.out


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (None, "Hz", "—"),
        (0.0, "", "0.0000"),
        (3, "", "3"),
        ("rise", "", "rise"),
        (101.44, "Hz", "101.4"),
        (-24.006, "dB", "-24.01"),
    ],
)
def test_value_has_the_decimals_of_its_unit(value: float | str | None, unit: str, shown: str) -> None:
    assert shown_value(value, unit) == shown


# ----------------------------------------------------------------------------------------------------------------------
# The picture

PNG = b"\x89PNG\r\n\x1a\n"


def pixels(data: bytes) -> Any:
    """[height, width, 4] in 0 to 1."""
    from matplotlib.image import imread  # noqa: PLC0415

    return imread(io.BytesIO(data), format="png")


def measured(path: Path) -> MeasuredFile:
    return measure_file(path, Reading(longest_s=100))


def test_picture_is_written_beside_the_output(features: Command, tmp_path: Path) -> None:
    ran = features(CALLER, "--json", "--plot", tmp_path / "out.png")
    assert (ran.status, ran.err, len(ran.objects)) == (0, "", 1)
    data = (tmp_path / "out.png").read_bytes()
    assert data.startswith(PNG)
    assert len(data) > 50_000
    picture = pixels(data)
    assert picture.shape[:2] == (800, 1200)
    assert str(EXAMPLES).encode() not in data


def test_picture_shades_speech_and_draws_the_pitch_where_there_is_some(tmp_path: Path) -> None:
    spoken = pixels(png(measured(wav(tmp_path / "a.wav", silence(1), voice(), silence(1)))))
    silent = pixels(png(measured(wav(tmp_path / "b.wav", silence(3)))))
    shade, pitch = (0.835, 0.925, 0.976), (0.0, 0.447, 0.698)
    for color, at_least in ((shade, 50_000), (pitch, 500)):
        near = [(np.abs(picture[..., :3] - color).max(axis=-1) < 0.02).sum() for picture in (spoken, silent)]
        assert near[0] > at_least
        assert near[1] == 0


@pytest.mark.parametrize(
    "samples",
    [
        np.tile(voice(0.2), 320),
        voice(0.005),
        silence(0.005),
        silence(1),
        np.full(1, 0.5, np.float32),
        np.tile(np.array([1e30, -1e30], np.float32), 800),
        voice(0.2),
    ],
    ids=["over a minute", "5 ms", "5 ms of silence", "silent", "one sample", "far over full scale", "short"],
)
def test_any_sound_is_drawn(tmp_path: Path, samples: Floats) -> None:
    assert png(measured(wav(tmp_path / "$\\odd_{$.wav", samples, subtype="FLOAT"))).startswith(PNG)


def test_envelope_touches_the_least_and_the_greatest_sample() -> None:
    samples = np.sin(np.arange(100_003, dtype=np.float32))
    samples[70_000] = 3
    starts, least, greatest = envelope(samples, 1_000)
    assert len(starts) == len(least) == len(greatest) == 1_000
    assert greatest.max() == 3
    assert least.min() == samples.min()
    few, _, _ = envelope(samples[:10], 1_000)
    assert few.tolist() == list(range(10))


def test_picture_shows_one_file(features: Command, tmp_path: Path) -> None:
    ran = features(CALLER, AGENT, "--plot", tmp_path / "out.png")
    assert (ran.status, ran.out) == (2, "")
    assert "a picture shows one file, not 2" in ran.err
    assert not (tmp_path / "out.png").exists()


def test_picture_is_a_png(features: Command, tmp_path: Path) -> None:
    ran = features(CALLER, "--plot", tmp_path / "out.pdf")
    assert (ran.status, ran.out) == (2, "")
    assert ".png" in ran.err


def test_picture_that_cannot_be_written_is_an_error(features: Command, tmp_path: Path) -> None:
    ran = features(AGENT, "--json", "--plot", tmp_path / "none" / "out.png")
    assert ran.status == 1
    assert ran.err == f"mise-voice: {tmp_path / 'none' / 'out.png'}: can't be written: No such file or directory\n"


def test_without_matplotlib_it_says_what_to_install(
    features: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert features(AGENT, "--json").status == 0
    ran = features(AGENT, "--json", "--plot", tmp_path / "out.png")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "mise-voice: --plot needs matplotlib: pip install 'mise-voice[plot]'\n"
