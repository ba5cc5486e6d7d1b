from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sb_alexa.bench import loss_run
from sb_alexa.bench.extra_memory import with_memory_use
from sb_alexa.bench.loss_cases import JointTensors, LossSize, random_tensors
from sb_alexa.bench.loss_run import LossMismatchError, load_kernels, measure, step
from sb_alexa.bench.loss_variants import Comparison, exact, random_comparison, trained_comparison

SIZE = LossSize(3, 10, 5, 7, joint_size=6)
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def comparison() -> Comparison:
    return random_comparison(random_tensors(SIZE))


def test_all_variants_take_turns(comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    for number, variant in enumerate(comparison.variants):

        def recorded(tensors: JointTensors, variant=variant) -> Tensor:  # type: ignore[no-untyped-def]
            order.append(variant.figure)
            return variant.loss(tensors)

        comparison.variants[number] = replace(variant, loss=recorded)
    comparison.others["products"] = lambda: order.append("products")
    result = measure(comparison, num_rounds=2, in_float64=True)
    names = ["exact", "floor_random", "torchaudio"]
    assert order == [*names, *names, "products", "products", *reversed(names)]
    assert [len(m.seconds) for m in result.measurements] == [2, 2, 2]
    assert len(result.others["products"]) == 2


def test_gradients_are_compared_with_float64(comparison: Comparison) -> None:
    result = measure(comparison, num_rounds=1, in_float64=True)
    ours, floor, torchaudio = result.measurements
    assert 0 < ours.gradient_difference < 2e-5
    assert 0 < floor.gradient_difference < 1e-4
    assert 0 < torchaudio.gradient_difference < 1e-2
    assert ours.value == pytest.approx(torchaudio.value, rel=1e-5)


def test_first_variant_is_the_reference_otherwise(comparison: Comparison) -> None:
    ours, _, torchaudio = measure(comparison, num_rounds=1, in_float64=False).measurements
    assert ours.gradient_difference == 0 < torchaudio.gradient_difference < 1e-2


def test_a_wrong_gradient_shows(comparison: Comparison) -> None:
    ours = comparison.variants[0]

    def halved(tensors: JointTensors) -> Tensor:
        loss = exact(tensors)
        return 0.5 * loss + 0.5 * loss.detach()

    comparison.variants[0] = replace(ours, loss=halved)
    result = measure(comparison, num_rounds=1, in_float64=True)
    assert result.measurements[0].gradient_difference == pytest.approx(0.5, rel=1e-3)


def test_losses_that_disagree(comparison: Comparison) -> None:
    peer = comparison.variants[-1]
    comparison.variants[-1] = replace(peer, loss=lambda tensors: 1.001 * exact(tensors))
    with pytest.raises(LossMismatchError, match="the loss of torchaudio is"):
        measure(comparison, num_rounds=1, in_float64=False)
    comparison.variants[-1] = replace(peer, loss=lambda tensors: exact(tensors) * torch.nan)
    with pytest.raises(LossMismatchError):
        measure(comparison, num_rounds=1, in_float64=False)


def _fail(tensors: JointTensors) -> Tensor:
    raise RuntimeError("no kernel\nfor this")


def test_peer_that_fails_is_skipped(comparison: Comparison) -> None:
    comparison.variants[-1] = replace(comparison.variants[-1], loss=_fail)
    load_kernels(comparison)
    result = measure(comparison, num_rounds=1, in_float64=False)
    assert result.skipped["torchaudio"] == "RuntimeError: no kernel"
    assert result.peers == [] and result.peer("torchaudio") is None
    assert len(result.ours) == 2 and "time_ratio_torchaudio" not in result.figures


def test_ours_must_not_fail(comparison: Comparison) -> None:
    comparison.variants[0] = replace(comparison.variants[0], loss=_fail)
    with pytest.raises(RuntimeError, match="no kernel"):
        load_kernels(comparison)
    with pytest.raises(RuntimeError, match="no kernel"):
        measure(comparison, num_rounds=1, in_float64=False)


def test_figures(comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, and that a ratio is ours over theirs."""
    times = iter([1.0, 2.0, 4.0, 0.5, 0.5, 8.0, 4.0, 2.0])

    def fixed(functions, num_rounds, device, progress):  # type: ignore[no-untyped-def]
        return {name: tuple(next(times) for _ in range(num_rounds)) for name in functions}

    monkeypatch.setattr(loss_run, "time_in_turns", fixed)
    comparison.others["matrix_products"] = lambda: None
    figures = measure(comparison, num_rounds=2, in_float64=False).figures
    assert figures["seconds_exact"] == 1.5 and figures["seconds_exact_high"] == 2.0
    assert figures["seconds_torchaudio"] == 4.25
    assert figures["time_ratio_torchaudio_low"] == 0.25  # 2 / 8
    assert figures["time_ratio_torchaudio_high"] == 2.0  # 1 / 0.5
    assert figures["floor_random_time_ratio_torchaudio"] == pytest.approx((8 + 0.5 / 8) / 2)
    assert figures["time_over_matrix_products"] == (1 / 4 + 2 / 2) / 2
    assert 0 < (figures["floor_random_cells_kept"] or 0) <= 1
    assert "exact_cells_kept" not in figures


def test_gradients_are_gone_before_memory_is_measured(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def observed(function, device):  # type: ignore[no-untyped-def]
        seen.append(any(leaf.grad is not None for leaf in comparison.tensors.leaves))
        return with_memory_use(function, device)

    monkeypatch.setattr(loss_run, "with_memory_use", observed)
    measure(comparison, num_rounds=1, in_float64=False)
    assert seen == [False, False, False]


def test_names_of_a_trained_model() -> None:
    comparison = trained_comparison(random_tensors(SIZE))
    figures = measure(comparison, num_rounds=1, in_float64=False).figures
    assert {
        "floor_trained_time_ratio_torchaudio",
        "floor_trained_cells_kept",
        "seconds_trained_torchaudio",
    } <= figures.keys()


def _extra_mib(size: LossSize) -> float:
    step(exact, random_tensors(size.miniature()))
    tensors = random_tensors(size)
    use = with_memory_use(lambda: step(exact, tensors), "cpu")[1]
    assert use is not None
    return use.extra_mib


@linux
def test_memory_grows_with_the_lattice_and_not_with_the_vocabulary() -> None:
    """The logits of V 2000 would take 125 MiB."""
    size = LossSize(4, 100, 40, 500, joint_size=32)
    narrow, wide = _extra_mib(size), _extra_mib(replace(size, vocabulary_size=2000))
    assert wide < 1.5 * narrow + 1 and wide < 30
    long = _extra_mib(replace(size, num_frames=800, num_labels=80, vocabulary_size=20))
    # 16 times the cells, of each of which some float64 numbers are kept.
    assert long > narrow + 8
