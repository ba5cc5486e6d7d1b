"""Streaming modules one after the other."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from sb_alexa.streaming.module import StreamingModule


class StreamingSequential(StreamingModule[tuple[Any, ...]]):
    """A chain of streaming modules that streams itself.

    Arguments
    ---------
    *modules : StreamingModule
        In the order of processing, for example log-mel, normalisation, frame stacking.

    Shape
    -----
    input : that of the first module
    output : that of the last

    Streaming
    ---------
    Look-ahead and hop are composed from the parts; the state is the tuple of their states.

    Example
    -------
    >>> import torch
    >>> from sb_alexa.nn.frame_stacking import FrameStacking
    >>> chain = StreamingSequential(
    ...     FrameStacking(num_features=4, num_frames=2), FrameStacking(num_features=8, num_frames=3)
    ... )
    >>> chain.geometry.hop, chain(torch.zeros(1, 7, 4)).shape
    (6, torch.Size([1, 2, 24]))
    """

    def __init__(self, *modules: StreamingModule) -> None:
        super().__init__()
        if not modules:
            raise ValueError("StreamingSequential needs at least one module")
        for module in modules:
            if not isinstance(module, StreamingModule):
                raise ValueError(
                    f"StreamingSequential takes streaming modules, got {type(module).__name__}; "
                    "derive it from StreamingModule"
                )
        self.layers = nn.ModuleList(modules)
        self.input_features = modules[0].input_features
        self.geometry = modules[0].geometry
        for module in modules[1:]:
            self.geometry = self.geometry.then(module.geometry)
        if self.geometry.look_ahead % self.geometry.hop:
            raise ValueError(
                f"the chain looks ahead {self.geometry.look_ahead} steps, no multiple of its hop "
                f"of {self.geometry.hop}, so whole output steps cannot flush it; put the module "
                "that looks ahead behind the one that lowers the frame rate"
            )

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        return tuple(layer.initial_state(batch_size) for layer in self._modules_in_order())

    def forward_chunk(
        self, x: Tensor, state: tuple[Any, ...], num_steps: Tensor | None = None
    ) -> tuple[Tensor, tuple[Any, ...]]:
        self.check_chunk(x, state)
        after = []
        for layer, before in zip(self._modules_in_order(), state, strict=True):
            x, new = layer.forward_chunk(x, before, num_steps)
            after.append(new)
            if num_steps is not None:
                num_steps = layer.num_outputs(num_steps)
        return x, tuple(after)

    def _modules_in_order(self) -> list[StreamingModule]:
        return list(self.layers)  # type: ignore[arg-type]
