"""A streaming module to be checked, and how to feed it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from hyperpyyaml import load_hyperpyyaml
from torch import Tensor, nn

from sb_alexa.nn.batch_norm import MaskedBatchNorm
from sb_alexa.streaming.module import StreamingModule

EXACT = 1e-10
NUM_HOPS = 11


@dataclass(frozen=True)
class Case:
    """A module to be checked.

    Arguments
    ---------
    name : str
        Shown by pytest.
    yaml : str
        HyperPyYAML that builds the module, so that every case proves it can be built so.
    num_labels : int | None
        For modules over labels: their number; None for modules over samples or features.
    reads_input : bool
        False for a module whose output is the same whatever it hears.
    decides : bool
        The module decides from its input what it computes, with an attribute `threshold` at which 0
        computes everything. Then a rounding may turn a decision, and what an output depends on
        varies: in reduced precision the error is bounded with everything computed, and with
        decisions only that numbers are finite and types constant; the declared window is a bound,
        which is reached with everything computed.
    """

    name: str
    yaml: str
    num_labels: int | None = None
    reads_input: bool = True
    decides: bool = False

    def build(
        self, device: str = "cpu", dtype: torch.dtype = torch.float64
    ) -> StreamingModule[Any]:
        """The module in evaluation mode, the same weights each time."""
        return copy.deepcopy(_built(self.yaml)).to(device=device, dtype=dtype)

    def steps(self, num_hops: int, ragged: bool = True) -> int:
        """Input steps of that many hops; the last is incomplete if `ragged` and if hops can be."""
        hop = self.build().geometry.hop
        return num_hops * hop - (hop // 2 if ragged else 0)

    def inputs(
        self, batch: int, steps: int, device: str = "cpu", dtype: torch.dtype = torch.float64
    ) -> Tensor:
        """Random input of the module, the same for the same arguments."""
        module = self.build()
        generator = torch.Generator().manual_seed(steps)
        shape = (batch, steps, *module.input_features)
        if self.num_labels is not None:
            return torch.randint(self.num_labels, shape, generator=generator).to(device)
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)


@cache
def _built(yaml: str) -> StreamingModule[Any]:
    torch.manual_seed(1234)
    module = load_hyperpyyaml(f"module: {yaml}")["module"]
    assert isinstance(module, StreamingModule)
    for part in module.modules():
        if isinstance(part, MaskedBatchNorm):  # fresh statistics would hide a mistake
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    return module.eval()


def stream(
    module: StreamingModule[Any],
    x: Tensor,
    chunk_hops: Sequence[int],
    state: Any = None,
) -> tuple[Tensor, Any]:
    """Feed x in chunks of the given numbers of hops, repeated until its end."""
    hop = module.geometry.hop
    state = module.initial_state(x.shape[0]) if state is None else state
    outputs, start, number = [], 0, 0
    while start < x.shape[1] or number == 0:
        steps = chunk_hops[number % len(chunk_hops)] * hop
        y, state = module.forward_chunk(x[:, start : start + steps], state)
        outputs.append(y)
        start, number = start + steps, number + 1
    return torch.cat(outputs, dim=1), state


def whole_hops(module: StreamingModule[Any], x: Tensor) -> Tensor:
    """Complete the last hop with zeros, as `forward` does."""
    padding = module.geometry.padding(x.shape[1])
    return torch.cat([x, x.new_zeros(x.shape[0], padding, *x.shape[2:])], dim=1)


def assert_equal(actual: Tensor, expected: Tensor, message: str) -> None:
    assert actual.shape == expected.shape, f"{message}: {actual.shape} instead of {expected.shape}"
    difference = (actual - expected).abs().max().item() if actual.numel() else 0.0
    assert difference <= EXACT, f"{message}: they differ by {difference}"
