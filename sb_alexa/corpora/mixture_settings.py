"""How mixtures of utterances are composed."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass


@dataclass(frozen=True)
class MixtureSettings:
    """What may happen in a simulated mixture.

    Arguments
    ---------
    max_turns : int
        The number of turns is drawn from 1 to this many, all equally likely.
    energy_ratio_db : (float, float)
        Range of the power of every later turn over that of the first, measured while they speak.
    max_duration_s : float
        A mixture that would be longer loses its last turns.
    min_delay_s : float
        A turn starts at least so long after the start of the previous one, and not after its end.
    gap_share : float
        Part, in 0 to 1, of the turns that wait until nobody speaks instead.
    gap_s : (float, float)
        Range of the silence before a turn that waits.
    noise_snr_db : (float, float) or None
        Range of the power of the first turn over that of noise throughout the mixture; None for
        no noise.

    Raises
    ------
    ValueError
        If a number is out of range.

    Reference
    ---------
    I. Sklyar et al., "Separator-Transducer-Segmenter", Interspeech 2022 (arXiv 2205.05199): the
    defaults. Gaps and noise are not in the paper.

    Example
    -------
    >>> MixtureSettings(max_turns=3).energy_ratio_db
    (-5.0, 5.0)
    """

    _: KW_ONLY
    max_turns: int = 5
    energy_ratio_db: tuple[float, float] = (-5.0, 5.0)
    max_duration_s: float = 30.0
    min_delay_s: float = 0.5
    gap_share: float = 0.0
    gap_s: tuple[float, float] = (0.1, 1.0)
    noise_snr_db: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.max_turns < 1:
            raise ValueError(f"max_turns={self.max_turns} must be at least 1")
        if not self.max_duration_s > 0:
            raise ValueError(f"max_duration_s={self.max_duration_s} must be > 0 seconds")
        if not self.min_delay_s > 0:
            raise ValueError(
                f"min_delay_s={self.min_delay_s} must be > 0 seconds, so that turns have an order"
            )
        if not 0 <= self.gap_share <= 1:
            raise ValueError(f"gap_share={self.gap_share} must lie between 0 and 1")
        for name in ("energy_ratio_db", "gap_s", "noise_snr_db"):
            self._set_range(name)
        if self.gap_s[0] < 0:
            raise ValueError(f"gap_s={self.gap_s} must not begin below 0 seconds")

    def _set_range(self, name: str) -> None:
        """Check a range, and keep as a tuple of floats what a YAML file gives as a list."""
        value = getattr(self, name)
        if value is None:
            return
        low, high = (float(bound) for bound in value) if len(value) == 2 else (math.nan, math.nan)
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ValueError(f"{name}={value} must be two numbers, the smaller one first")
        object.__setattr__(self, name, (low, high))
