from __future__ import annotations

import logging
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sb_alexa.corpora import audio
from sb_alexa.corpora.audio import AudioError, check_audio, inspect_audio, read_audio
from sb_alexa.corpora.stamp import Journal


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "_said", set())


def write_noise(path: Path, num_samples: int = 48_000, rate: int = 16_000, **kwargs) -> Path:
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, num_samples)
    soundfile.write(path, noise, rate, **kwargs)
    return path


def test_flac_is_read_as_it_was_written(tmp_path: Path) -> None:
    samples = np.array([0, 1, -1, 32767, -32768, 12345], dtype=np.int16)
    soundfile.write(tmp_path / "a.flac", samples, 16_000)
    wav = read_audio(tmp_path / "a.flac")
    assert wav.dtype == torch.float32
    assert torch.equal(wav, torch.from_numpy(samples).float() / 32768)


def test_another_sample_rate_is_converted_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, rate in (("a.flac", 8_000), ("b.flac", 44_100)):
        time_s = np.arange(rate) / rate
        soundfile.write(tmp_path / name, 0.5 * np.sin(2 * math.pi * 440 * time_s), rate)
    expected = 0.5 * torch.sin(2 * math.pi * 440 * torch.arange(16_000, dtype=torch.float64) / 16e3)
    for name in ("a.flac", "b.flac", "a.flac"):
        wav = read_audio(tmp_path / name)
        assert wav.shape == (16_000,)
        # The ends see the silence around the file.
        assert torch.allclose(wav[500:-500], expected[500:-500].float(), atol=2e-3)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'a.flac'} is at 8000 Hz: audio is resampled to 16000 Hz"
    ]


def test_channels_are_averaged_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    soundfile.write(tmp_path / "a.flac", np.full((100, 2), (0.5, -0.25)), 16_000)
    for _ in range(2):
        assert torch.allclose(read_audio(tmp_path / "a.flac"), torch.full((100,), 0.125))
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [f"{tmp_path / 'a.flac'} has 2 channels: channels are averaged"]


def test_mono_at_the_right_rate_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    read_audio(write_noise(tmp_path / "a.flac"))
    assert not caplog.records


def bad_files(folder: Path) -> dict[str, str]:
    """Write one file of each kind of damage; returns what must be said about it."""
    whole = write_noise(folder / "whole.flac").read_bytes()
    hole = whole[: len(whole) // 2] + bytes(500) + whole[len(whole) // 2 + 500 :]
    unknown_length = bytearray(whole)
    # STREAMINFO: the number of samples is 36 bits from the low half of byte 21; 0 means unknown.
    unknown_length[21] &= 0xF0
    unknown_length[22:26] = bytes(4)
    contents = {
        "empty.flac": (b"", "empty file"),
        "text.flac": (b"<html>404 Not Found</html>\n" * 50, "Format not recognised"),
        "header.flac": (whole[:42], "."),
        "hole.flac": (hole, "."),
        "unknown_length.flac": (bytes(unknown_length), "does not tell the length"),
        # MP3 and friends under the wrong name are audio; a picture is not.
        "picture.flac": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "."),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    soundfile.write(folder / "no_samples.flac", np.zeros(0), 16_000)
    (folder / "link.flac").symlink_to(folder / "gone.flac")
    return {
        "missing.flac": "missing",
        "link.flac": "missing",
        "no_samples.flac": ".",
        **{name: message for name, (_, message) in contents.items()},
    }


def test_every_damage_is_found_and_named(tmp_path: Path) -> None:
    for name, message in bad_files(tmp_path).items():
        for read in (inspect_audio, read_audio):
            with pytest.raises(AudioError, match=f"{name}: .*{message}"):
                read(tmp_path / name)
    assert inspect_audio(tmp_path / "whole.flac").num_samples == 48_000


@pytest.mark.parametrize("full_decode", [True, False])
def test_truncation_is_found_wherever_the_cut_is(tmp_path: Path, full_decode: bool) -> None:
    whole = write_noise(tmp_path / "whole.flac").read_bytes()
    cut = tmp_path / "cut.flac"
    size = len(whole)
    places = [4, 42, 100, 8192, *(size * k // 10 for k in range(1, 10)), size - 1000]
    for num_bytes in [*places, size - 100, size - 17, size - 3, size - 2, size - 1]:
        cut.write_bytes(whole[:num_bytes])
        with pytest.raises(AudioError, match=r"cut\.flac: "):
            inspect_audio(cut, full_decode=full_decode)
        with pytest.raises(AudioError, match=r"cut\.flac: "):
            read_audio(cut)
    assert inspect_audio(tmp_path / "whole.flac", full_decode=full_decode).duration_s == 3.0


def test_the_header_alone_would_not_find_truncation(tmp_path: Path) -> None:
    whole = write_noise(tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) * 9 // 10])
    assert soundfile.info(tmp_path / "cut.flac").frames == 48_000


@pytest.mark.parametrize("num_announced", [48_001, 52_096, 2**35])
def test_a_header_that_announces_more_than_there_is(tmp_path: Path, num_announced: int) -> None:
    content = bytearray(write_noise(tmp_path / "a.flac").read_bytes())
    content[21] = (content[21] & 0xF0) | (num_announced >> 32)
    content[22:26] = (num_announced & 0xFFFFFFFF).to_bytes(4, "big")
    (tmp_path / "a.flac").write_bytes(content)
    with pytest.raises(AudioError, match=r"a\.flac: "):
        inspect_audio(tmp_path / "a.flac")


@pytest.mark.parametrize("full_decode", [True, False])
def test_a_decoder_that_ends_early_without_an_error_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_decode: bool
) -> None:
    class EndsEarly(soundfile.SoundFile):
        """What other releases of libsndfile do with a truncated file."""

        def read(self, *args, **kwargs):
            return super().read(*args, **kwargs)[:-1]

    write_noise(tmp_path / "a.flac")
    monkeypatch.setattr(soundfile, "SoundFile", EndsEarly)
    with pytest.raises(AudioError, match=r"a\.flac: holds 47999 of the 48000 samples announced"):
        inspect_audio(tmp_path / "a.flac", full_decode=full_decode)
    with pytest.raises(AudioError, match=r"a\.flac: holds 47999 of the 48000 samples announced"):
        read_audio(tmp_path / "a.flac")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_samples_that_are_not_numbers_are_refused(tmp_path: Path, value: float) -> None:
    samples = np.zeros(100, dtype=np.float32)
    samples[50] = value
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: holds NaN or infinite samples"):
        read_audio(tmp_path / "a.wav")


def test_the_error_survives_a_worker_process() -> None:
    error = pickle.loads(pickle.dumps(AudioError("empty file", "a.flac")))
    assert (str(error), error.reason, error.path) == ("a.flac: empty file", "empty file", "a.flac")
    # torch rebuilds the exception of a data-loading worker from its message alone.
    assert str(AudioError("Caught AudioError in worker 0")) == "Caught AudioError in worker 0"


def sizes(folder: Path) -> list[tuple[str, int]]:
    return [(path.name, path.stat().st_size) for path in sorted(folder.glob("*.flac"))]


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for i in range(6):
        write_noise(data / f"{i}.flac", 1000 + i)
    (data / "3.flac").write_bytes(b"junk")
    found = [
        check_audio(data, sizes(data), Journal(tmp_path / f"{n}.jsonl"), num_workers=n)
        for n in (0, 1, 4, None)
    ]
    assert all(f == found[0] for f in found)
    infos, reasons = found[0]
    assert [infos[name].num_samples for name in infos] == [1000, 1001, 1002, 1004, 1005]
    assert list(reasons) == ["3.flac"]
    journals = [(tmp_path / f"{n}.jsonl").read_bytes() for n in (0, 1, 4, None)]
    assert len(set(journals)) == 1


def test_only_what_is_new_changed_or_bad_is_inspected_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for i in range(4):
        write_noise(data / f"{i}.flac", 1000 + i)
    (data / "3.flac").write_bytes(b"junk")
    inspected: list[str] = []

    def inspect(path: Path, *, full_decode: bool):
        inspected.append(Path(path).name)
        return inspect_audio(path, full_decode=full_decode)

    monkeypatch.setattr(audio, "inspect_audio", inspect)

    def check(full_decode: bool):
        inspected.clear()
        journal = Journal(tmp_path / "journal.jsonl")
        found = check_audio(data, sizes(data), journal, full_decode=full_decode, num_workers=1)
        return found, list(inspected)

    first, names = check(False)
    assert names == ["0.flac", "1.flac", "2.flac", "3.flac"]
    assert check(False) == (first, ["3.flac"])
    # Having seen the end of a file does not prove its middle; the reverse does.
    assert check(True)[1] == ["0.flac", "1.flac", "2.flac", "3.flac"]
    assert check(False)[1] == ["3.flac"]
    write_noise(data / "1.flac", 2000)
    write_noise(data / "3.flac", 3000)
    (infos, reasons), names = check(True)
    assert names == ["1.flac", "3.flac"]
    assert infos["1.flac"].num_samples == 2000 and infos["3.flac"].num_samples == 3000
    assert not reasons
