"""The peers' calling code; those for CUDA run against stand-ins with the packages' signatures."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
import torchaudio
from torch import Tensor

from sb_alexa.bench import loss_peers
from sb_alexa.bench.loss_cases import LogitsTensors, LossSize, logits_tensors, random_tensors
from sb_alexa.bench.loss_peers import (
    PEERS,
    speechbrain_loss,
    speechbrain_obstacle,
    torchaudio_loss,
    torchaudio_obstacle,
    warprnnt_loss,
    warprnnt_obstacle,
)
from sb_alexa.bench.loss_run import step
from sb_alexa.bench.loss_variants import exact

SMALL = LossSize(4, 12, 6, 9)


@pytest.fixture
def tensors() -> LogitsTensors:
    return logits_tensors(random_tensors(LossSize(4, 12, 6, 9, joint_size=5)))


def _check(loss, tensors: LogitsTensors) -> None:  # type: ignore[no-untyped-def]
    expected = step(exact, tensors)
    gradients = tensors.take_gradients()
    torch.testing.assert_close(step(lambda t: loss(t.logits, t), tensors), expected)
    torch.testing.assert_close(tensors.take_gradients(), gradients, rtol=1e-3, atol=1e-5)


def test_torchaudio(tensors: LogitsTensors) -> None:
    _check(torchaudio_loss, tensors)


class _LikeSpeechBrain(torch.autograd.Function):
    """Value divided by the number of frames, gradient not: `Transducer` of SpeechBrain 1.1."""

    @staticmethod
    def forward(ctx, log_probs, labels, num_frames, num_labels, blank, reduction):  # type: ignore[no-untyped-def]
        assert reduction == "none" and labels.dtype == torch.int32
        assert num_frames.dtype == num_labels.dtype == torch.int32
        with torch.enable_grad():
            leaf = log_probs.detach().requires_grad_()
            losses = torchaudio.functional.rnnt_loss(
                leaf,
                labels,
                num_frames,
                num_labels,
                blank=blank,
                reduction="none",
                fused_log_softmax=False,
            )
            ctx.grads = torch.autograd.grad(losses.sum(), leaf)[0]
        return losses.detach() / num_frames

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        return (ctx.grads * grad.view(-1, 1, 1, 1), *[None] * 5)


def test_speechbrain(tensors: LogitsTensors, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("speechbrain.integrations.numba.transducer_loss")
    module.Transducer = _LikeSpeechBrain  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    _check(speechbrain_loss, tensors)


def test_warprnnt(tensors: LogitsTensors, monkeypatch: pytest.MonkeyPatch) -> None:
    def rnnt_loss(
        acts: Tensor,
        labels: Tensor,
        act_lens: Tensor,
        label_lens: Tensor,
        blank: int = 0,
        reduction: str = "mean",
        fastemit_lambda: float = 0.0,
        clamp: float = 0.0,
    ) -> Tensor:
        assert {labels.dtype, act_lens.dtype, label_lens.dtype} == {torch.int32}
        assert int(act_lens.max()) == acts.shape[1] and int(label_lens.max()) + 1 == acts.shape[2]
        loss = torchaudio.functional.rnnt_loss(
            acts, labels, act_lens, label_lens, blank=blank, reduction=reduction
        )
        return loss[None]

    for name in ("warprnnt_numba", "warprnnt_numba.rnnt_loss"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    module = ModuleType("warprnnt_numba.rnnt_loss.rnnt_pytorch")
    module.rnnt_loss = rnnt_loss  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    _check(warprnnt_loss, tensors)


def test_obstacles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reason on its own."""
    free = 2**40
    monkeypatch.setattr(loss_peers, "_free_memory_bytes", lambda device: free)
    installed = {"numba", "warprnnt_numba"}
    monkeypatch.setattr(loss_peers, "find_spec", lambda name: name if name in installed else None)
    assert all(peer.obstacle(SMALL, "cuda:0") is None for peer in PEERS)
    assert torchaudio_obstacle(SMALL, "cpu") is None
    for obstacle in (speechbrain_obstacle, warprnnt_obstacle):
        assert obstacle(SMALL, "cpu") == "it runs on CUDA only"
    assert "it allows 1024" in str(speechbrain_obstacle(LossSize(1, 9, 1024, 9), "cuda:0"))
    installed.discard("warprnnt_numba")
    assert warprnnt_obstacle(SMALL, "cuda:0") == "the package warprnnt_numba is not installed"
    assert speechbrain_obstacle(SMALL, "cuda:0") is None
    installed.clear()
    assert speechbrain_obstacle(SMALL, "cuda:0") == "the package numba is not installed"


def test_32_bit_indices() -> None:
    limit = LossSize(1, 2**10, 2**10 - 1, 2**11)
    assert limit.num_logits == 2**31
    assert "32 bits" in str(torchaudio_obstacle(limit, "cuda:0"))


def test_memory_is_looked_at_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    size = LossSize(16, 400, 80, 1000)
    monkeypatch.setattr(loss_peers, "_free_memory_bytes", lambda device: 4 * 2**30)
    assert torchaudio_obstacle(size, "cpu") == (
        "it needs about 5.8 GiB of memory, 4.0 GiB are free"
    )
    monkeypatch.setattr(loss_peers, "_free_memory_bytes", lambda device: None)
    assert torchaudio_obstacle(size, "cpu") is None


def test_free_memory_of_this_machine() -> None:
    free = loss_peers._free_memory_bytes("cpu")
    assert free is not None and 2**20 < free < 2**50
