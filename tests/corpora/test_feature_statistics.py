from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sb_alexa.corpora import feature_statistics
from sb_alexa.corpora.audio import AudioError
from sb_alexa.corpora.feature_statistics import (
    FeatureStatistics,
    compute_feature_statistics,
    prepare_feature_statistics,
)
from sb_alexa.corpora.manifest import Utterance, write_manifest


class Energies:
    """Log energies of 10 ms blocks in four parts of their samples: (1, N) -> (1, T, 4)."""

    def __init__(self, hop_samples: int = 160) -> None:
        self.hop_samples = hop_samples

    def __call__(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> torch.Tensor:
        assert wavs.shape[0] == 1 and wav_lens.tolist() == [1.0]
        blocks = wavs.unfold(1, self.hop_samples, self.hop_samples)  # (1, T, hop)
        return blocks.unflatten(-1, (4, -1)).square().mean(-1).add(1e-6).log()


@pytest.fixture
def corpus(tmp_path: Path) -> list[Utterance]:
    utterances = []
    for i in range(8):
        random = np.random.default_rng(i)
        samples = random.uniform(-1, 1, 1600 + 400 * i) * 0.1 * (i + 1)
        path = tmp_path / f"{i}.flac"
        soundfile.write(path, samples, 16_000)
        utterances.append(Utterance(str(i), len(samples) / 16_000, str(path), "s", "A"))
    return utterances


def all_frames(utterances: list[Utterance]) -> torch.Tensor:
    parts = []
    for u in utterances:
        samples, _ = soundfile.read(u.path, dtype="float32")
        parts.append(Energies()(torch.from_numpy(samples)[None], torch.ones(1))[0])
    return torch.cat(parts).double()


def test_they_are_those_of_all_frames_together(corpus: list[Utterance]) -> None:
    statistics = compute_feature_statistics(corpus, Energies())
    frames = all_frames(corpus)
    assert statistics.num_frames == len(frames) == 148
    assert torch.allclose(statistics.mean.double(), frames.mean(0), atol=1e-6)
    assert torch.allclose(statistics.std.double(), frames.std(0, unbiased=False), atol=1e-6)
    assert statistics.mean.shape == statistics.std.shape == (4,)


def test_parts_add_up(corpus: list[Utterance]) -> None:
    whole = compute_feature_statistics(corpus, Energies())
    parts = [compute_feature_statistics(part, Energies()) for part in (corpus[:3], corpus[3:])]
    total = parts[0] + parts[1]
    assert total.num_frames == whole.num_frames
    assert torch.equal(total.mean, whole.mean) and torch.equal(total.std, whole.std)


def test_sums_are_exact_where_float32_is_not() -> None:
    # In float32 the sum of squares of these frames has no room left for their variance.
    frames = 100.0 + torch.tensor([[-1.0], [1.0]]).repeat(50_000, 1)
    statistics = FeatureStatistics.of_frames(frames)
    assert statistics.mean.item() == 100.0
    assert statistics.std.item() == pytest.approx(1.0, abs=1e-6)


def test_a_constant_feature_has_no_deviation() -> None:
    frames = torch.full((1000, 1), -13.8155)
    assert FeatureStatistics.of_frames(frames).std.item() < 1e-5


def test_a_part_is_drawn_by_the_seed(corpus: list[Utterance]) -> None:
    def draw(seed: int) -> FeatureStatistics:
        return compute_feature_statistics(corpus, Energies(), num_utterances=3, seed=seed)

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(5)}) > 1
    whole = compute_feature_statistics(corpus, Energies())
    assert compute_feature_statistics(corpus, Energies(), num_utterances=99, seed=3) == whole


def test_bad_input_is_refused(corpus: list[Utterance]) -> None:
    with pytest.raises(ValueError, match="at least one utterance"):
        compute_feature_statistics([], Energies())
    with pytest.raises(ValueError, match="num_utterances=0 must be at least 1"):
        compute_feature_statistics(corpus, Energies(), num_utterances=0)
    with pytest.raises(ValueError, match=r"0\.flac: its features hold NaN"):
        compute_feature_statistics(corpus, lambda wavs, _: wavs[..., None] / 0)
    with pytest.raises(ValueError, match="hold no frame"):
        compute_feature_statistics(corpus, lambda wavs, _: wavs.new_zeros(1, 0, 4))
    Path(corpus[2].path).write_bytes(b"junk")
    with pytest.raises(AudioError, match=r"2\.flac"):
        compute_feature_statistics(corpus, Energies())
    with pytest.raises(ValueError, match="statistics of 1 and of 2 features"):
        FeatureStatistics(1, (1.0,), (1.0,)) + FeatureStatistics(1, (1.0, 2.0), (1.0, 2.0))


def test_saved_ones_are_read_back_exactly(corpus: list[Utterance], tmp_path: Path) -> None:
    statistics = compute_feature_statistics(corpus, Energies())
    statistics.save(tmp_path / "statistics.json")
    assert FeatureStatistics.load(tmp_path / "statistics.json") == statistics
    content = json.loads((tmp_path / "statistics.json").read_text())
    assert torch.equal(torch.tensor(content["mean"]), statistics.mean)
    assert torch.equal(torch.tensor(content["std"]), statistics.std)


@pytest.mark.parametrize("content", ["", "[]", '{"mean": [1.0]}'])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match=r"x\.json does not hold feature statistics"):
        FeatureStatistics.load(tmp_path / "x.json")


def test_preparing_twice_computes_once(
    corpus: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_computed = 0

    def compute(*args, **kwargs) -> FeatureStatistics:
        nonlocal num_computed
        num_computed += 1
        return compute_feature_statistics(*args, **kwargs)

    monkeypatch.setattr(feature_statistics, "compute_feature_statistics", compute)
    manifest, saved = tmp_path / "train.csv", tmp_path / "statistics.json"
    write_manifest(manifest, corpus, tmp_path)

    def prepare(features, **kwargs) -> int:
        """Prepare, check the file, and tell how often something was computed."""
        found = prepare_feature_statistics(manifest, tmp_path, saved, features, **kwargs)
        assert FeatureStatistics.load(saved) == found
        return num_computed

    assert prepare(Energies()) == 1
    assert prepare(Energies()) == 1
    assert prepare(Energies(hop_samples=80)) == 2  # Other features.
    assert prepare(Energies()) == 3
    assert prepare(Energies(), num_utterances=2, seed=1) == 4  # Another part.
    assert prepare(Energies(), num_utterances=2, seed=1) == 4
    write_manifest(manifest, corpus[:-1], tmp_path)  # Another training set.
    assert prepare(Energies(), num_utterances=2, seed=1) == 5
    saved.write_text(saved.read_text()[:100])  # Cut short.
    assert prepare(Energies(), num_utterances=2, seed=1) == 6
    assert prepare(Energies(), num_utterances=2, seed=1) == 6


def test_an_interrupted_write_leaves_the_old_file(
    corpus: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statistics = compute_feature_statistics(corpus[:1], Energies())
    statistics.save(tmp_path / "x.json")
    before = (tmp_path / "x.json").read_bytes()

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        compute_feature_statistics(corpus, Energies()).save(tmp_path / "x.json")
    assert (tmp_path / "x.json").read_bytes() == before


def test_the_front_end_and_its_normalisation_take_them(
    corpus: list[Utterance], tmp_path: Path
) -> None:
    from sb_alexa.nn.feature_normalization import GlobalNormalization
    from sb_alexa.nn.log_mel import LogMel

    log_mel = LogMel(n_mels=8)
    compute_feature_statistics(corpus, log_mel).save(tmp_path / "x.json")
    normalize = GlobalNormalization(num_features=8)
    normalize.load_statistics(tmp_path / "x.json")
    frames = [
        normalize(log_mel(torch.from_numpy(soundfile.read(u.path, dtype="float32")[0])[None]))[0]
        for u in corpus
    ]
    assert torch.cat(frames).mean(0).abs().max() < 1e-4
    assert (torch.cat(frames).std(0, unbiased=False) - 1).abs().max() < 1e-4


@pytest.mark.realdata
def test_real_speech_has_plausible_log_mels(realdata: Path) -> None:
    from sb_alexa.nn.log_mel import LogMel

    files = sorted((realdata / "LibriSpeech" / "dev-clean").glob("*/*/*.flac"))[:10]
    utterances = [Utterance(f.stem, 1.0, str(f), "s", "A") for f in files]
    statistics = compute_feature_statistics(utterances, LogMel(n_mels=64))
    assert statistics.num_frames > 5000
    assert (statistics.std > 1.0).all() and (statistics.std < 5.0).all()
