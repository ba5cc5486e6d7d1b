"""The numbers that decide what a Transformer encoder costs."""

from __future__ import annotations

from dataclasses import dataclass

from sb_alexa.nn.gates import ToggleLayout


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
    feed_forward_groups : int
        Parts of each feed-forward module that have toggles of their own, G; must divide `d_ffn`.

    Raises
    ------
    ValueError
        If a size is not positive, the heads do not divide `d_model` or the groups `d_ffn`.

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
    feed_forward_groups: int = 1

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
        if self.feed_forward_groups < 1 or self.d_ffn % self.feed_forward_groups:
            raise ValueError(
                "feed_forward_groups must be >= 1 and divide d_ffn, got "
                f"feed_forward_groups={self.feed_forward_groups} and d_ffn={self.d_ffn}"
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

    @property
    def group_size(self) -> int:
        """Width of one feed-forward group."""
        return self.d_ffn // self.feed_forward_groups

    @property
    def toggles(self) -> ToggleLayout:
        """Order of the toggles of a block."""
        return ToggleLayout(self.feed_forward_groups, self.nhead)
