"""The numbers that decide what a Transformer encoder costs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TransformerShape:
    """Sizes of a causal Transformer encoder.

    Arguments
    ---------
    input_size : int
        Features of a frame.
    d_model : int
        Features inside.
    nhead : int
        Attention heads, H; must divide `d_model`.
    num_layers : int
        Blocks, N.
    d_ffn : int
        Width of the feed-forward modules.
    output_size : int
        Features of an output frame.
    left_context_frames : int | None
        A frame attends to itself and to so many frames before it; None to all before it.
    arbitrator_macs : int
        Multiply-adds per frame of all arbitrators together; 0 for a dense encoder.

    Raises
    ------
    ValueError
        If a size is not positive or the heads do not divide `d_model`.

    Example
    -------
    >>> TransformerShape(
    ...     input_size=192, d_model=516, nhead=4, num_layers=12, d_ffn=1024, output_size=512
    ... ).head_size
    129
    """

    input_size: int
    d_model: int
    nhead: int
    num_layers: int
    d_ffn: int
    output_size: int
    left_context_frames: int | None = None
    arbitrator_macs: int = 0

    def __post_init__(self) -> None:
        for name in ("input_size", "d_model", "nhead", "num_layers", "d_ffn", "output_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if self.d_model % self.nhead:
            divisors = [n for n in range(1, self.d_model + 1) if self.d_model % n == 0]
            near = sorted(divisors, key=lambda n: abs(n - self.nhead))[:2]
            raise ValueError(
                f"nhead must divide d_model, got nhead={self.nhead} and d_model={self.d_model}; "
                f"take nhead={' or '.join(map(str, sorted(near)))}, or another d_model"
            )
        if self.left_context_frames is not None and self.left_context_frames < 0:
            raise ValueError(
                "left_context_frames must be >= 0, or None for all frames before, got "
                f"{self.left_context_frames}"
            )

    @property
    def head_size(self) -> int:
        """Features of one head."""
        return self.d_model // self.nhead
