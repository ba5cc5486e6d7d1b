"""Mean and standard deviation of features over a training set."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from sb_alexa.corpora.manifest import Utterance, read_audio, read_manifest
from sb_alexa.corpora.stamp import replaced_atomically

Features = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_PROBE_SAMPLES = 16_000


@dataclass(frozen=True)
class FeatureStatistics:
    """Sums over frames, which add up over parts of a corpus; mean and deviation come from them.

    Arguments
    ---------
    num_frames : int
        Frames summed.
    sums : tuple of float
        Per feature, the sum.
    sums_of_squares : tuple of float
        Per feature, the sum of squares.

    Example
    -------
    >>> a = FeatureStatistics.of_frames(torch.tensor([[1.0], [3.0]]))
    >>> b = FeatureStatistics.of_frames(torch.tensor([[5.0], [7.0]]))
    >>> (a + b).num_frames, (a + b).mean.tolist(), round((a + b).std.item(), 4)
    (4, [4.0], 2.2361)
    """

    num_frames: int
    sums: tuple[float, ...]
    sums_of_squares: tuple[float, ...]

    @classmethod
    def of_frames(cls, frames: torch.Tensor) -> FeatureStatistics:
        """Statistics of (T, F) frames, summed in float64."""
        frames = frames.detach().double()
        squares = frames.square().sum(0).tolist()
        return cls(len(frames), tuple(frames.sum(0).tolist()), tuple(squares))

    def __add__(self, other: FeatureStatistics) -> FeatureStatistics:
        if len(self.sums) != len(other.sums):
            raise ValueError(
                f"statistics of {len(self.sums)} and of {len(other.sums)} features cannot be added"
            )
        return FeatureStatistics(
            self.num_frames + other.num_frames,
            tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
            tuple(a + b for a, b in zip(self.sums_of_squares, other.sums_of_squares, strict=True)),
        )

    @property
    def mean(self) -> torch.Tensor:
        """(F,) float32: mean over frames."""
        return self._mean().float()

    @property
    def std(self) -> torch.Tensor:
        """(F,) float32: standard deviation over frames (divisor N); 0 for a constant feature."""
        mean = self._mean()
        squares = torch.tensor(self.sums_of_squares, dtype=torch.float64) / self.num_frames
        return (squares - mean.square()).clamp(min=0.0).sqrt().float()

    def _mean(self) -> torch.Tensor:
        return torch.tensor(self.sums, dtype=torch.float64) / self.num_frames

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, in one step; `load` reads back exactly the same sums.

        The lists `mean` and `std` are there for other readers.
        """
        _write_json(path, self._as_json())

    def _as_json(self) -> dict[str, Any]:
        return {"mean": self.mean.tolist(), "std": self.std.tolist(), **asdict(self)}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FeatureStatistics:
        """Read what `save` or `prepare_feature_statistics` wrote."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(
                int(content["num_frames"]),
                tuple(content["sums"]),
                tuple(content["sums_of_squares"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{os.fspath(path)} does not hold feature statistics; delete it and prepare again"
            ) from error


def compute_feature_statistics(
    utterances: Sequence[Utterance],
    features: Features,
    *,
    num_utterances: int | None = None,
    seed: int = 0,
) -> FeatureStatistics:
    """Sum the features of a training set, or of a random part of it.

    Arguments
    ---------
    utterances : sequence of Utterance
        The training set.
    features : callable
        (wavs (1, N), wav_lens (1,)) -> (1, T, F), such as a log-mel module.
    num_utterances : int, optional
        How many utterances to draw; all of them by default.
    seed : int
        Decides which ones are drawn.

    Returns
    -------
    statistics : FeatureStatistics
        Of all frames of those utterances, summed in float64.

    Raises
    ------
    ValueError
        If there are no utterances, or a feature is NaN or infinite.
    AudioError
        If audio cannot be read.
    """
    if not utterances:
        raise ValueError("feature statistics need at least one utterance; the manifest is empty")
    if num_utterances is not None and num_utterances < 1:
        raise ValueError(f"num_utterances={num_utterances} must be at least 1, or None for all")
    chosen: Sequence[int] = range(len(utterances))
    if num_utterances is not None and num_utterances < len(utterances):
        # Sorted, so that files are read in the order in which they lie on disk.
        chosen = sorted(random.Random(seed).sample(chosen, num_utterances))
    total: FeatureStatistics | None = None
    for index in tqdm(chosen, desc="Feature statistics", unit="utterance", disable=None):
        utterance = utterances[index]
        with torch.no_grad():
            frames = features(read_audio(utterance.path)[None], torch.ones(1))[0]  # (T, F)
        if not torch.isfinite(frames).all():
            raise ValueError(f"{utterance.path}: its features hold NaN or infinite values")
        part = FeatureStatistics.of_frames(frames)
        total = part if total is None else total + part
    if total is None or total.num_frames == 0:
        raise ValueError("the features of all utterances together hold no frame")
    return total


def prepare_feature_statistics(
    manifest_path: str | os.PathLike[str],
    data_root: str | os.PathLike[str],
    save_path: str | os.PathLike[str],
    features: Features,
    *,
    num_utterances: int | None = None,
    seed: int = 0,
) -> FeatureStatistics:
    """Read the statistics from a file where they are still valid, else compute and write them.

    Arguments
    ---------
    manifest_path : str or path-like
        The training manifest.
    data_root : str or path-like
        Takes the place of `$data_root` in it.
    save_path : str or path-like
        The JSON file.
    features : callable
        As for `compute_feature_statistics`. They are recognised by what they make of one second of
        noise, so that any change of their settings counts.
    num_utterances : int, optional
        How many utterances to draw; all of them by default.
    seed : int
        Decides which ones are drawn.

    Returns
    -------
    statistics : FeatureStatistics
        Of the training set.
    """
    probe = _probe(features)
    arguments = {
        "manifest_sha256": hashlib.sha256(Path(manifest_path).read_bytes()).hexdigest(),
        "num_utterances": num_utterances,
        "seed": seed,
    }
    if _is_current(Path(save_path), arguments, probe):
        return FeatureStatistics.load(save_path)
    utterances = read_manifest(manifest_path, data_root)
    statistics = compute_feature_statistics(
        utterances, features, num_utterances=num_utterances, seed=seed
    )
    content = {**statistics._as_json(), "arguments": arguments, "probe": probe}
    _write_json(save_path, content)
    return statistics


def _probe(features: Features) -> list[float]:
    """Number of frames, and mean of each feature, for one second of the same noise every time."""
    noise = torch.randn(1, _PROBE_SAMPLES, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        frames = features(0.1 * noise, torch.ones(1))[0]  # (T, F)
    return [float(len(frames)), *frames.double().mean(0).tolist()]


def _is_current(path: Path, arguments: dict[str, Any], probe: list[float]) -> bool:
    """Whether the file was computed with these arguments and with features that do the same."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        earlier = content["probe"]
        # Another machine rounds differently; another setting changes far more.
        same = len(earlier) == len(probe) and all(map(_is_close, earlier, probe))
        return same and content["arguments"] == arguments
    except (OSError, KeyError, TypeError, ValueError):
        return False


def _is_close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-4)


def _write_json(path: str | os.PathLike[str], value: object) -> None:
    with replaced_atomically(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
