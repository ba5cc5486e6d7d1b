"""The cohort of a speaker as an input of a recogniser."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sb_alexa.streaming.frames import FrameGeometry
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import State


@dataclass(frozen=True)
class CohortInputState(State):
    """The `cohort` of each row, (B, K): one-hot, or zeros where it is unknown."""

    cohort: Tensor


class CohortInput(StreamingModule[CohortInputState]):
    """Append the one-hot vector of the speaker's cohort to every frame.

    Place it between features and frame stacking. Without being told, it appends zeros: the cohort
    is unknown, as it may be in use. Training tells cohorts with `tell` after the features, behind
    any masking, and leaves some of them unknown; a stream is told with `state_of`.

    Arguments
    ---------
    num_features : int
        Features of a frame.
    num_cohorts : int
        K.
    unknown_rate : float
        Share of the training utterances whose cohort stays unknown, so that the model works without
        it. Randomness is torch's global one.

    Shape
    -----
    input : (B, T, num_features)
    output : (B, T, num_features + num_cohorts)

    Streaming
    ---------
    No look-ahead; the state is the cohort of each row.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Reference
    ---------
    Dheram et al., "Toward fairness in speech recognition: discovery and mitigation of performance
    disparities", Interspeech 2022, arXiv 2207.11345; the full text was not available to us. Theirs:
    a vector of two appended to every acoustic frame. Ours: the unknown cohort.

    Example
    -------
    >>> module = CohortInput(num_features=1).eval()
    >>> module(torch.ones(1, 2, 1)).tolist()
    [[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]]
    >>> state = module.state_of(torch.tensor([1]))
    >>> module.forward_chunk(torch.ones(1, 2, 1), state)[0].tolist()
    [[[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]]
    """

    def __init__(
        self, *, num_features: int, num_cohorts: int = 2, unknown_rate: float = 0.1
    ) -> None:
        super().__init__()
        if num_features < 1 or num_cohorts < 2:
            raise ValueError(
                f"num_features must be >= 1 and num_cohorts >= 2, got {num_features} and "
                f"{num_cohorts}"
            )
        if not 0 <= unknown_rate < 1:
            raise ValueError(f"unknown_rate must lie in [0, 1), got {unknown_rate}; 0.1 is usual")
        self.num_cohorts = num_cohorts
        self.unknown_rate = unknown_rate
        self.output_size = num_features + num_cohorts
        self.input_features = (num_features,)
        self.geometry = FrameGeometry()

    def initial_state(self, batch_size: int) -> CohortInputState:
        return CohortInputState(self.zeros(batch_size, self.num_cohorts))

    def state_of(self, cohorts: Tensor) -> CohortInputState:
        """The state before the first chunk of speakers whose cohort is known.

        Arguments
        ---------
        cohorts : Tensor
            (B,) integers in 0..K-1.
        """
        one_hot = self._one_hot(cohorts)
        return CohortInputState(one_hot.to(self.zeros(0)))

    def forward_chunk(
        self, x: Tensor, state: CohortInputState, num_steps: Tensor | None = None
    ) -> tuple[Tensor, CohortInputState]:
        self.check_chunk(x, state)
        cohort = state.cohort.to(x)[:, None].expand(-1, x.shape[1], -1)
        return torch.cat([x, cohort], dim=2), state

    def tell(self, features: Tensor, cohorts: Tensor) -> Tensor:
        """Put cohorts into features that were computed without them.

        Arguments
        ---------
        features : Tensor
            (B, T, S * (num_features + K)), what this module and a stacking of S frames made.
        cohorts : Tensor
            (B,) integers in 0..K-1. In training some of them stay unknown.

        Returns
        -------
        Tensor
            (B, T, S * (num_features + K)).

        Raises
        ------
        ValueError
            If the features are no stack of frames of this module, or a cohort does not exist.

        Example
        -------
        >>> module = CohortInput(num_features=1).eval()
        >>> module.tell(torch.zeros(1, 1, 6), torch.tensor([1])).tolist()
        [[[0.0, 0.0, 1.0, 0.0, 0.0, 1.0]]]
        """
        batch, steps, width = features.shape
        stack, remainder = divmod(width, self.output_size)
        if remainder:
            raise ValueError(
                f"features of width {width} are no stack of frames of {self.output_size}; stack "
                "frames behind the cohort input"
            )
        one_hot = self._one_hot(cohorts).to(features)
        if self.training:
            drawn = torch.rand(batch, 1, device=features.device)
            one_hot = one_hot * (drawn >= self.unknown_rate)
        frames = features.reshape(batch, steps, stack, self.output_size)
        told = one_hot[:, None, None].expand(-1, steps, stack, -1)  # (B, T, S, K)
        known = frames[..., : -self.num_cohorts]
        return torch.cat([known, told], dim=3).reshape(batch, steps, width)

    def _one_hot(self, cohorts: Tensor) -> Tensor:
        if cohorts.numel() and not 0 <= int(cohorts.min()) <= int(cohorts.max()) < self.num_cohorts:
            raise ValueError(
                f"cohorts must be numbers in 0..{self.num_cohorts - 1}, got {cohorts.tolist()}"
            )
        return F.one_hot(cohorts, self.num_cohorts)
