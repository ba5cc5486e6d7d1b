"""Frame arithmetic of a streaming module, free of tensors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FrameGeometry:
    """Which input steps one output step of a module reads.

    Output step k reads input steps before ``(k + 1) * hop + look_ahead`` and, if the window is
    bounded, not more than `window` of them. Input steps are samples for a front end and frames for
    an encoder.

    Arguments
    ---------
    hop : int
        Input steps for each output step.
    window : int | None
        Receptive field in input steps; None if it reaches back to the beginning (recurrent
        modules).
    look_ahead : int
        Input steps after the output's own hop that it waits for; 0 for a causal module.

    Example
    -------
    >>> log_mel = FrameGeometry(hop=160, window=400)
    >>> stacking = FrameGeometry(hop=3, window=3)
    >>> front_end = log_mel.then(stacking)
    >>> front_end
    FrameGeometry(hop=480, window=720, look_ahead=0)
    >>> front_end.num_outputs(16000), front_end.hop_ms(16000), front_end.look_ahead_ms(16000)
    (34, 30.0, 0.0)
    """

    hop: int = 1
    window: int | None = 1
    look_ahead: int = 0

    def __post_init__(self) -> None:
        if self.hop < 1 or self.look_ahead < 0 or (self.window is not None and self.window < 1):
            raise ValueError(
                f"a frame geometry needs hop >= 1, window >= 1 or None and look_ahead >= 0, got "
                f"hop={self.hop}, window={self.window}, look_ahead={self.look_ahead}"
            )

    def then(self, outer: FrameGeometry) -> FrameGeometry:
        """The geometry of this module followed by `outer`, in input steps of this module."""
        window = None
        if self.window is not None and outer.window is not None:
            window = (outer.window - 1) * self.hop + self.window
        look_ahead = outer.look_ahead * self.hop + self.look_ahead
        return FrameGeometry(self.hop * outer.hop, window, look_ahead)

    def num_outputs(self, num_inputs: int) -> int:
        """Output steps of an utterance; its last, partial hop is completed with zeros."""
        return -(-num_inputs // self.hop)

    def padding(self, num_inputs: int) -> int:
        """Zeros that complete the last hop."""
        return -num_inputs % self.hop

    def hop_ms(self, rate: int) -> float:
        """Milliseconds for each output step when the input has `rate` steps per second."""
        return 1000.0 * self.hop / rate

    def look_ahead_ms(self, rate: int) -> float:
        """Milliseconds of future audio an output step waits for."""
        return 1000.0 * self.look_ahead / rate
