"""What every streaming module promises, as reusable checks.

A check takes a `Case` and a device and raises AssertionError. All checks run in evaluation mode: in
training, batch normalisation sees other statistics in a chunk than in a whole utterance.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from torch import Tensor, nn

from sb_alexa.lengths import relative_lengths
from sb_alexa.nn.batch_norm import MaskedBatchNorm
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import State, cat, load_tensors, named_tensors, rows, where

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
    """

    name: str
    yaml: str
    num_labels: int | None = None

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


def check_chunked_equals_whole(case: Case, device: str) -> None:
    """Any cutting gives the output of the whole utterance, the ragged tail and empty chunks too."""
    module = case.build(device)
    delay = module.geometry.look_ahead // module.geometry.hop
    for batch in (1, 3):
        x = case.inputs(batch, case.steps(NUM_HOPS), device)
        with torch.no_grad():
            whole = module(x)
            assert whole.shape[:2] == (batch, NUM_HOPS)
            for chunks in ((1,), (2,), (3, 1), (0, 5, 0), (NUM_HOPS,)):
                y, state = stream(module, whole_hops(module, x), chunks)
                if delay:
                    y = torch.cat([y, module.finish(state)], dim=1)[:, delay:]
                assert_equal(y, whole, f"chunks of {chunks} hops, batch {batch}")


def check_unequal_lengths(case: Case, device: str) -> None:
    """Each row of a padded batch is that utterance alone, whatever stands in the padding."""
    module = case.build(device)
    lengths = torch.tensor([case.steps(hops) for hops in (NUM_HOPS, 4, 7)])
    x = case.inputs(3, int(lengths.max()), device)
    with torch.no_grad():
        batched = module(x, relative_lengths(lengths, x.shape[1]).to(device))
        for row, length in enumerate(lengths.tolist()):
            alone = module(x[row : row + 1, :length])
            assert_equal(batched[row : row + 1, : alone.shape[1]], alone, f"row {row}")
            after = batched[row, alone.shape[1] :]
            assert not after.any(), f"row {row} is not zero after its end"


def check_gradients(case: Case, device: str) -> None:
    """Gradients through the chunks equal those of the whole pass."""
    module = case.build(device)
    delay = module.geometry.look_ahead // module.geometry.hop
    x = whole_hops(module, case.inputs(2, case.steps(7), device))
    wanted: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
    if case.num_labels is None:
        x.requires_grad_()
        wanted.append(x)
    if not wanted:
        return
    whole = module(x)
    weights = torch.randn_like(whole)
    expected = torch.autograd.grad((whole * weights).sum(), wanted, allow_unused=True)
    y, state = stream(module, x, (2, 1))
    if delay:
        y = torch.cat([y, module.finish(state)], dim=1)[:, delay:]
    actual = torch.autograd.grad((y * weights).sum(), wanted, allow_unused=True)
    for ours, theirs in zip(actual, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            scale = max(1.0, theirs.abs().max().item())
            assert_equal(ours / scale, theirs / scale, "gradient")


def check_look_ahead(case: Case, device: str) -> None:
    """The first and the last input step an output depends on are those of the geometry."""
    module = case.build(device)
    geometry = module.geometry
    if geometry.window is None:
        num_hops = 5
    else:
        num_hops = -(-geometry.window // geometry.hop) + 4
    x = case.inputs(1, case.steps(num_hops, ragged=False), device)
    for number in (0, num_hops // 2, num_hops - 2):
        seen = _dependencies(case, module, x, number)
        end = (number + 1) * geometry.hop + geometry.look_ahead
        begin = 0 if geometry.window is None else end - geometry.window
        assert max(seen) + 1 == min(end, x.shape[1]), (
            f"output {number} reads up to step {max(seen)}, the geometry declares {end - 1}"
        )
        # A dilated kernel has holes before the beginning: only later outputs show its reach.
        assert min(seen) == begin or begin < 0, (
            f"output {number} reads from step {min(seen)}, the geometry declares {begin}"
        )


def _dependencies(case: Case, module: StreamingModule[Any], x: Tensor, number: int) -> list[int]:
    """Input steps on which an output depends: by the gradient, for labels by changing each."""
    if case.num_labels is None:
        x = x.clone().requires_grad_()
        y = module(x)[:, number]
        (gradient,) = torch.autograd.grad((y * torch.randn_like(y)).sum(), x)
        return gradient[0].reshape(x.shape[1], -1).any(dim=1).nonzero().flatten().tolist()
    seen = []
    with torch.no_grad():
        before = module(x)[:, number]
        for step in range(x.shape[1]):
            changed = x.clone()
            changed[:, step] = (changed[:, step] + 1) % case.num_labels
            if not torch.equal(module(changed)[:, number], before):
                seen.append(step)
    return seen


def check_rows_are_independent(case: Case, device: str) -> None:
    """No row influences another."""
    module = case.build(device)
    x = whole_hops(module, case.inputs(3, case.steps(6), device))
    other = x.clone()
    other[1] = x[2]
    with torch.no_grad():
        before, after = stream(module, x, (2,))[0], stream(module, other, (2,))[0]
    assert_equal(after[[0, 2]], before[[0, 2]], "rows beside the changed one")
    assert_equal(after[1], before[2], "the changed row")


def check_replay(case: Case, device: str) -> None:
    """A state is never changed: processing a chunk again gives the same bits."""
    module = case.build(device)
    x = whole_hops(module, case.inputs(2, case.steps(6), device))
    middle = 3 * module.geometry.hop
    with torch.no_grad():
        _, state = module.forward_chunk(x[:, :middle], module.initial_state(2))
        frozen = [tensor.clone() for _, tensor in named_tensors(state)]
        first, _ = module.forward_chunk(x[:, middle:], state)
        module.forward_chunk(x[:, :middle], state)
        second, _ = module.forward_chunk(x[:, middle:], state)
    assert torch.equal(first, second)
    for (name, tensor), before in zip(named_tensors(state), frozen, strict=True):
        assert torch.equal(tensor, before), f"{name} was changed in place"


def check_row_operations(case: Case, device: str) -> None:
    """Reordering, joining, resetting and holding rows of a state does what it says."""
    module = case.build(device)
    x = whole_hops(module, case.inputs(3, case.steps(8), device))
    middle = 4 * module.geometry.hop
    early, late = x[:, :middle], x[:, middle:]
    with torch.no_grad():
        _, state = stream(module, early, (4,))
        expected, _ = stream(module, late, (2,), state)

        order = torch.tensor([2, 0, 0, 1], device=device)
        y, _ = stream(module, late[order], (2,), rows(state, order))
        assert_equal(y, expected[order], "reordered rows")

        alone = [stream(module, early[row : row + 1], (4,))[1] for row in range(3)]
        y, _ = stream(module, late, (2,), cat(alone))
        assert_equal(y, expected, "rows joined from single streams")

        chosen = torch.tensor([False, True, False], device=device)
        fresh = module.initial_state(3)
        y, _ = stream(module, late, (2,), where(chosen, fresh, state))
        assert_equal(y[[0, 2]], expected[[0, 2]], "rows beside the reset one")
        assert_equal(y[1], stream(module, late, (2,))[0][1], "the reset row")

        _, advanced = stream(module, late, (2,), state)
        y, _ = stream(module, late, (2,), where(chosen, state, advanced))
        assert_equal(y[1], expected[1], "the held row")


def check_constant_structure(case: Case, device: str) -> None:
    """From the first chunk on a state has the same tensors of the same shapes and types."""
    module = case.build(device)
    x = case.inputs(3, case.steps(9, ragged=False), device)
    hop = module.geometry.hop

    def structure(state: Any) -> list[Any]:
        assert isinstance(state, State | tuple)
        tensors = list(named_tensors(state))
        assert tensors, "a state without tensors has no batch size"
        assert all(tensor.shape[0] == 3 for _, tensor in tensors), "dimension 0 must be the batch"
        return [(name, tensor.shape, tensor.dtype, tensor.device) for name, tensor in tensors]

    with torch.no_grad():
        state = module.initial_state(3)
        expected, start = structure(state), 0
        for hops in (1, 0, 5, 2, 1):
            _, state = module.forward_chunk(x[:, start : start + hops * hop], state)
            start += hops * hop
            assert structure(state) == expected


def check_reduced_precision(case: Case, device: str) -> None:
    """Under bfloat16 autocast and in bfloat16 it runs, and nothing changes type between chunks."""
    single = case.build(device, torch.float32)
    x = case.inputs(2, case.steps(8, ragged=False), device, torch.float32)
    with torch.no_grad():
        expected, _ = stream(single, x, (3, 1))
        types = [tensor.dtype for _, tensor in named_tensors(single.initial_state(2))]
        with torch.autocast(device_type=device, dtype=torch.bfloat16):
            y, state = stream(single, x, (3, 1))
        error = (y.float() - expected).norm() / expected.norm()
        assert error < 0.05, f"autocast changes the output by {error:.1%}"
        assert [tensor.dtype for _, tensor in named_tensors(state)] == types
        half = case.build(device, torch.bfloat16)
        y, _ = stream(half, x if case.num_labels else x.bfloat16(), (3, 1))
    assert bool(y.isfinite().all())
    with torch.autocast(device_type=device, dtype=torch.bfloat16):
        y, _ = stream(single, x, (3, 1))
        if y.requires_grad:
            y.float().sum().backward()
    for name, parameter in single.named_parameters():
        if parameter.grad is not None:
            assert bool(parameter.grad.isfinite().all()), f"the gradient of {name} is not finite"


def check_save_and_load(case: Case, device: str) -> None:
    """A stream that is saved to a file and taken up by another process goes on exactly."""
    module = case.build(device)
    x = whole_hops(module, case.inputs(2, case.steps(8), device))
    middle = 4 * module.geometry.hop
    with torch.no_grad():
        _, state = stream(module, x[:, :middle], (2,))
        expected, _ = stream(module, x[:, middle:], (2,), state)
        file = io.BytesIO()
        torch.save({"module": module.state_dict(), "state": dict(named_tensors(state))}, file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
        restored = case.build(device)
        restored.load_state_dict(saved["module"])
        state = load_tensors(restored.initial_state(2), saved["state"])
        y, _ = stream(restored, x[:, middle:], (2,), state)
    assert torch.equal(y, expected)
    with pytest.raises(ValueError, match="another module"):
        load_tensors(state, {"nonsense": torch.zeros(2)})


def check_speechbrain_interface(case: Case, device: str) -> None:
    """SpeechBrain's streaming methods and the signature of its encoders work."""
    module = case.build(device)
    x = whole_hops(module, case.inputs(2, case.steps(6), device))
    hop = module.geometry.hop
    delay = module.geometry.look_ahead // hop
    with torch.no_grad():
        lens = torch.ones(2, device=device)
        expected = module(x, wav_lens=lens, pad_idx=0, dynchunktrain_config=None)
        context = module.make_streaming_context(dynchunktrain_config=None)
        outputs = [module.forward_streaming(part, context) for part in x.split(2 * hop, dim=1)]
        if delay:
            outputs.append(module.finish(context.state))
    assert_equal(torch.cat(outputs, dim=1)[:, delay:], expected, "forward_streaming")


def check_misuse(case: Case, device: str) -> None:
    """Wrong input is refused with a message, never computed."""
    module = case.build(device)
    name, hop = type(module).__name__, module.geometry.hop
    x = case.inputs(2, 2 * hop, device)
    state = module.initial_state(2)
    with pytest.raises(ValueError, match=name):
        module.forward_chunk(x[..., None], state)
    if module.input_features:
        with pytest.raises(ValueError, match=name):
            module.forward_chunk(x[..., :-1], state)
    if hop > 1:
        with pytest.raises(ValueError, match=f"whole hops of {hop}"):
            module.forward_chunk(x[:, 1:], state)
    for lens in ([1.0, 1.5], [1.0, 0.0], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="relative lengths"):
            module(x, torch.tensor(lens, device=device))
    if any(tensor.numel() for _, tensor in named_tensors(state)):
        with pytest.raises((ValueError, RuntimeError)), torch.no_grad():
            module.forward_chunk(x, module.initial_state(1))


CHECKS: tuple[Callable[[Case, str], None], ...] = (
    check_chunked_equals_whole,
    check_unequal_lengths,
    check_gradients,
    check_look_ahead,
    check_rows_are_independent,
    check_replay,
    check_row_operations,
    check_constant_structure,
    check_reduced_precision,
    check_save_and_load,
    check_speechbrain_interface,
    check_misuse,
)
