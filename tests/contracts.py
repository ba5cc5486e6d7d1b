"""What every streaming module promises, as reusable checks.

A check takes a `Case` and a device and raises AssertionError. All checks run in evaluation mode: in
training, batch normalisation sees other statistics in a chunk than in a whole utterance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sb_alexa.lengths import relative_lengths
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.state import named_tensors
from tests.state_contracts import STATE_CHECKS
from tests.streaming_case import EXACT, Case, assert_equal, stream, whole_hops

NUM_HOPS = 11


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
    if not case.reads_input:
        assert not whole.requires_grad
        return
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
    if not case.reads_input:
        with torch.no_grad():
            assert torch.equal(module(x), module(x + 1)), "the output depends on the input"
        return
    if case.decides:
        _check_reach_of_decisions(case, module, x)
        _compute_everything(module)
        if geometry.window is None:  # with everything computed, nobody asks what has no bound
            return
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


def _compute_everything(module: Any) -> None:
    module.threshold = 0.0


def _check_reach_of_decisions(case: Case, module: StreamingModule[Any], x: Tensor) -> None:
    """Every output depends on its own step and on none outside of the window, if only by what was
    decided: the gradient does not see decisions, so each step is changed."""
    assert module.geometry.hop == 1 and not module.geometry.look_ahead
    window = module.geometry.window
    with torch.no_grad():
        before = module(x)
        for step in range(x.shape[1]):
            changed = x.clone()
            changed[:, step] = 3.0 - changed[:, step]
            difference = (module(changed) - before).abs()[0].amax(dim=-1)
            seen_by = (difference > EXACT).nonzero().flatten().tolist()
            assert seen_by[0] == step, f"output {seen_by[0]} reads step {step}"
            assert window is None or seen_by[-1] < step + window, (
                f"output {seen_by[-1]} reads step {step}, the geometry declares {window} steps"
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


def check_reduced_precision(case: Case, device: str) -> None:
    """Under bfloat16 autocast and in bfloat16 it runs, and nothing changes type between chunks."""
    for batch in (1, 2):
        single = case.build(device, torch.float32)
        x = case.inputs(batch, case.steps(8, ragged=False), device, torch.float32)
        _check_autocast(case, single, x, device)
        half = case.build(device, torch.bfloat16)
        with torch.no_grad():
            y, _ = stream(half, x if case.num_labels else x.bfloat16(), (3, 1))
        assert bool(y.isfinite().all())
        with torch.autocast(device_type=device, dtype=torch.bfloat16):
            y, _ = stream(single, x, (3, 1))
            if y.requires_grad:
                y.float().sum().backward()
        for name, parameter in single.named_parameters():
            if parameter.grad is not None:
                assert bool(parameter.grad.isfinite().all()), f"{name}: gradient is not finite"


def _check_autocast(case: Case, single: StreamingModule[Any], x: Tensor, device: str) -> None:
    with torch.no_grad():
        types = [tensor.dtype for _, tensor in named_tensors(single.initial_state(len(x)))]
        with torch.autocast(device_type=device, dtype=torch.bfloat16):
            y, state = stream(single, x, (3, 1))
        assert bool(y.isfinite().all())
        assert [tensor.dtype for _, tensor in named_tensors(state)] == types
        if case.decides:
            single = case.build(device, torch.float32)
            _compute_everything(single)
            with torch.autocast(device_type=device, dtype=torch.bfloat16):
                y, _ = stream(single, x, (3, 1))
        expected, _ = stream(single, x, (3, 1))
    error = (y.float() - expected).norm() / expected.norm()
    assert error < 0.05, f"autocast changes the output by {error:.1%}"


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
    *STATE_CHECKS,
    check_reduced_precision,
    check_speechbrain_interface,
    check_misuse,
)
