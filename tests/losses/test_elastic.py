"""The pull towards the start: its value, its gradient, what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sb_alexa.losses.elastic import ElasticPenalty, names_of_parts


def model() -> nn.ModuleDict:
    torch.manual_seed(2)
    encoder = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
    return nn.ModuleDict({"encoder": encoder, "joiner": nn.Linear(4, 2)})


def start_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def random_fisher(module: nn.Module) -> dict[str, Tensor]:
    return {name: torch.rand_like(p).double() for name, p in module.named_parameters()}


def fine_tune(penalty: Callable[[nn.ModuleDict], ElasticPenalty] | None) -> list[Tensor]:
    """Weights after some steps of a task that pulls away from the start."""
    learner = model()
    held = penalty(learner) if penalty else None
    optimizer = torch.optim.AdamW(learner.parameters(), lr=0.05, weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        x = torch.randn(5, 3, generator=generator)
        # The joiner takes no part in the loss, so plain fine-tuning gives it no gradient.
        loss = (learner["encoder"](x) - 1).square().mean()
        optimizer.zero_grad()
        (held.add_to(loss, learner.named_parameters()) if held else loss).backward()
        optimizer.step()
    return [tensor.clone() for tensor in learner.state_dict().values()]


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_value_and_gradient_are_those_of_the_formula() -> None:
    learner = model().double()
    start, fisher = start_of(learner), random_fisher(learner)
    penalty = ElasticPenalty(start, fisher, weight=0.7)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter += torch.randn_like(parameter)
    value = penalty(learner.named_parameters())
    value.backward()
    mean = torch.cat([f.flatten() for f in fisher.values()]).mean()
    expected = 0.0
    for name, parameter in learner.named_parameters():
        moved = parameter.detach() - start[name]
        expected += 0.35 * float((fisher[name] / mean * moved**2).sum())
        gradient = 0.7 * fisher[name] / mean * moved
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradient, atol=1e-12), name
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_no_weight_is_plain_fine_tuning_bit_for_bit() -> None:
    nothing = fine_tune(lambda m: ElasticPenalty(start_of(m), random_fisher(m), weight=0.0))
    assert equal(nothing, fine_tune(None))
    little = fine_tune(lambda m: ElasticPenalty(start_of(m), random_fisher(m), weight=1e-3))
    assert not equal(little, fine_tune(None)), "the comparison cannot fail"


@pytest.mark.parametrize("constant", [1.0, 0.3, 1e-12])
def test_a_constant_fisher_is_l2_to_the_start_bit_for_bit(constant: float) -> None:
    def with_constant(m: nn.ModuleDict) -> ElasticPenalty:
        fisher = {name: torch.full_like(p, constant) for name, p in m.named_parameters()}
        return ElasticPenalty(start_of(m), fisher, weight=0.5)

    l2 = fine_tune(lambda m: ElasticPenalty(start_of(m), weight=0.5))
    assert equal(fine_tune(with_constant), l2)


def test_the_scale_of_the_fisher_does_not_matter() -> None:
    learner = model()
    fisher = random_fisher(learner)
    scaled = {name: 1e6 * f for name, f in fisher.items()}
    moved = {name: p + 0.1 for name, p in learner.named_parameters()}
    one, other = (ElasticPenalty(start_of(learner), f, weight=1.0)(moved) for f in (fisher, scaled))
    assert float(one) == pytest.approx(float(other), rel=1e-6)


def test_the_mean_is_one_over_the_parts_that_are_held() -> None:
    learner = model()
    fisher = random_fisher(learner)
    penalty = ElasticPenalty(start_of(learner), fisher, weight=1.0, parts=["encoder.2", "joiner"])
    assert set(penalty.start) == {"encoder.2.weight", "encoder.2.bias", "joiner.weight",
                                  "joiner.bias"}  # fmt: skip
    assert penalty.fisher is not None
    mean = torch.cat([f.flatten() for f in penalty.fisher.values()]).double().mean()
    assert float(mean) == pytest.approx(1.0, abs=1e-6)
    moved = {name: p + (1.0 if name.startswith("encoder.0") else 0.0) for name, p in
             learner.named_parameters()}  # fmt: skip
    assert float(penalty(moved)) == 0.0, "a part that was not named is held"


def test_a_stronger_pull_stays_nearer_to_the_start() -> None:
    start = torch.cat([t.flatten() for t in start_of(model()).values()])

    def distance(weight: float) -> float:
        after = fine_tune(lambda m: ElasticPenalty(start_of(m), weight=weight))
        learned = model()
        learned.load_state_dict(dict(zip(learned.state_dict(), after, strict=True)))
        return float((torch.cat([p.flatten() for p in learned.parameters()]) - start).norm())

    assert distance(10.0) < distance(0.1) < distance(0.001)


def test_the_start_does_not_follow_the_training() -> None:
    learner = model()
    penalty = ElasticPenalty(dict(learner.named_parameters()), weight=2.0)
    assert penalty(learner.named_parameters()).item() == 0.0
    with torch.no_grad():
        learner["joiner"].bias += 1.0
    assert penalty(learner.named_parameters()).item() == pytest.approx(2.0)


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_an_impossible_weight_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="lambda.*must be >= 0 and finite"):
        ElasticPenalty(start_of(model()), weight=weight)


def test_an_unknown_part_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'predictor'; it has: encoder, joiner"):
        ElasticPenalty(start_of(model()), weight=1.0, parts=["encoder", "predictor"])
    with pytest.raises(ValueError, match=r"write \[encoder\]"):
        names_of_parts(["encoder.weight"], "encoder")
    with pytest.raises(ValueError, match="no weights to hold"):
        ElasticPenalty(start_of(model()), weight=1.0, parts=[])


def test_a_fisher_of_another_model_is_refused() -> None:
    start = start_of(model())
    fisher = random_fisher(model())
    short = {name: f for name, f in fisher.items() if name != "joiner.bias"}
    with pytest.raises(ValueError, match=r"lacks 1 of 8 parameters: \['joiner.bias'\]"):
        ElasticPenalty(start, short, weight=1.0)
    with pytest.raises(ValueError, match=r"joiner.bias has shape \(3,\) in the Fisher"):
        ElasticPenalty(start, {**fisher, "joiner.bias": torch.ones(3)}, weight=1.0)
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="joiner.bias is negative or not finite"):
            ElasticPenalty(start, {**fisher, "joiner.bias": torch.full((2,), bad)}, weight=1.0)
    with pytest.raises(ValueError, match="0 everywhere"):
        ElasticPenalty(start, {n: torch.zeros_like(f) for n, f in fisher.items()}, weight=1.0)


def test_parameters_of_another_model_are_refused() -> None:
    penalty = ElasticPenalty(start_of(model()), weight=1.0)
    with pytest.raises(ValueError, match="8 parameters that the start has are missing"):
        penalty({})
    changed = {**start_of(model()), "joiner.bias": torch.ones(3)}
    with pytest.raises(ValueError, match=r"joiner.bias has shape \(3,\) now and \(2,\)"):
        penalty(changed)


def test_buffers_are_not_parameters() -> None:
    with pytest.raises(ValueError, match="num_batches_tracked holds torch.int64"):
        ElasticPenalty(model().state_dict(), weight=1.0)
