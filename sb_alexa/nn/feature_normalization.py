"""Normalisation of features with statistics of the whole training set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import State


@dataclass(frozen=True)
class NormalizationState(State):
    """Nothing is kept; `batch` only carries the number of rows, (B, 0)."""

    batch: Tensor


class GlobalNormalization(StreamingModule[NormalizationState]):
    """Subtract a fixed mean and divide by a fixed standard deviation for each feature.

    The statistics come from `prepare_*` and are stored with the weights, so that a stream is
    normalised as the training was from its first frame on. (SpeechBrain's running statistics change
    during training.)

    Arguments
    ---------
    num_features : int
        Features of a frame.

    Shape
    -----
    input : (B, T, num_features)
    output : (B, T, num_features)

    Streaming
    ---------
    No look-ahead, empty state.

    Example
    -------
    >>> normalize = GlobalNormalization(num_features=2)
    >>> normalize.set_statistics(mean=torch.tensor([1.0, 2.0]), std=torch.tensor([1.0, 4.0]))
    >>> normalize(torch.tensor([[[2.0, 6.0]]])).tolist()
    [[[1.0, 1.0]]]
    """

    def __init__(self, *, num_features: int) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f"num_features must be >= 1, got {num_features}")
        self.input_features = (num_features,)
        self.output_size = num_features
        self.geometry = FrameGeometry()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("std", torch.ones(num_features))

    mean: Tensor
    std: Tensor

    def set_statistics(self, *, mean: Tensor, std: Tensor) -> None:
        """Install statistics.

        Arguments
        ---------
        mean, std : Tensor
            (num_features,) each; a standard deviation below 1e-3 (a constant feature) is replaced
            by 1.

        Raises
        ------
        ValueError
            If the sizes differ from the module's or a value is not finite.
        """
        for name, value in (("mean", mean), ("std", std)):
            if tuple(value.shape) != self.input_features or not bool(value.isfinite().all()):
                raise ValueError(
                    f"the {name} must hold {self.input_features[0]} finite values, got shape "
                    f"{tuple(value.shape)}; compute the statistics with the front end of this model"
                )
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std < 1e-3, torch.ones_like(std), std))

    def load_statistics(self, path: str | Path) -> None:
        """Install the statistics of a JSON file with the lists ``mean`` and ``std``.

        Arguments
        ---------
        path : str | Path
            As written by `sb_alexa.corpora.feature_statistics`.
        """
        content = json.loads(Path(path).read_text())
        self.set_statistics(
            mean=torch.tensor(content["mean"], dtype=torch.float64),
            std=torch.tensor(content["std"], dtype=torch.float64),
        )

    def initial_state(self, batch_size: int) -> NormalizationState:
        return NormalizationState(self.zeros(batch_size, 0))

    def forward_chunk(
        self, x: Tensor, state: NormalizationState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, NormalizationState]:
        self.check_chunk(x)
        return (x - self.mean) / self.std, state
