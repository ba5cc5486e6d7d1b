"""Two processes with parts of a batch train as one process with all of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.fairness.speaker_objective import SpeakerObjective
from sb_alexa.training.gathered_batch import gather_speaker_batch
from sb_alexa.training.processes import rank_and_size, sum_gradients
from sb_alexa.training.reweighting import Reweighting
from tests.fairness.tiny_objectives import (
    EMBEDDING_SIZE,
    FORMULATIONS,
    SPEAKERS,
    make_objective,
)

STEPS = 3
CASES = ("unweighted", *FORMULATIONS)


def train(case: str, mine: slice) -> dict[str, Any]:
    """Some steps of both players on the given rows of each batch, and all there is to compare."""
    torch.manual_seed(3)
    learner = nn.Linear(5, EMBEDDING_SIZE).double()
    objective = make_objective("pairwise" if case == "unweighted" else case)
    if case == "unweighted":
        reweighting = Reweighting(objective=SpeakerObjective(losses=objective.losses))
    else:
        reweighting = Reweighting(objective=objective)
    parameters = [*learner.parameters()]
    parameters += [p for loss in objective.losses for p in loss.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    record: dict[str, Any] = {"weights": [], "losses": [], "gradients": [], "entropies": []}
    inputs = torch.randn(STEPS, len(SPEAKERS), 5, dtype=torch.float64)
    for x in inputs:
        batch = gather_speaker_batch(learner(x[mine]), SPEAKERS[mine])
        record["weights"].append(reweighting.sample_weights(batch))
        loss = reweighting.loss(batch)
        optimizer.zero_grad()
        (loss * len(x[mine])).backward()
        sum_gradients(parameters)
        total = loss.detach() * batch.share
        if rank_and_size()[1] > 1:
            dist.all_reduce(total)
        record["losses"].append(total)
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad /= len(SPEAKERS)
        record["gradients"] += [p.grad.clone() for p in parameters if p.grad is not None]
        optimizer.step()
        statistics = reweighting.update(batch)
        record["entropies"].append(torch.tensor(statistics.entropy if statistics else 0.0))
    record["adversary"] = list(objective.adversary.state_dict().values())
    clusters = objective.clusters
    record["memory"] = [] if clusters is None else [clusters.remembered.clone()]
    return record


def _one_of_two_processes(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    records = {case: train(case, slice(rank, None, 2)) for case in CASES}
    torch.save((records, _gathered_unevenly(rank)), f"{folder}/result{rank}.pt")
    dist.destroy_process_group()


def _gathered_unevenly(rank: int) -> tuple[list[Any], ...]:
    """Rank 0 brings three rows, rank 1 one; each multiplies what it sees by its own factor."""
    rows = torch.tensor([[1.0], [2.0], [3.0]]) if rank == 0 else torch.tensor([[10.0]])
    rows = rows.requires_grad_()
    batch = gather_speaker_batch(rows, rows.detach().flatten().long())
    (batch.embeddings.sum() * (rank + 1)).backward()
    assert rows.grad is not None
    return batch.embeddings.flatten().tolist(), batch.rows.tolist(), rows.grad.flatten().tolist()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("gloo")
    torch.multiprocessing.spawn(_one_of_two_processes, (str(folder),), nprocs=2)
    return [torch.load(folder / f"result{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one(case: str, two_processes: list[Any]) -> None:
    expected = train(case, slice(None))
    assert len(expected["gradients"]) >= 4 * STEPS
    for records, _ in two_processes:
        for name, tensors in expected.items():
            for found, one in zip(records[case][name], tensors, strict=True):
                assert torch.allclose(found, one, atol=1e-12), name


def test_adversaries_moved(two_processes: list[Any]) -> None:
    """Or equality would be cheap."""
    records, _ = two_processes[0]
    before = [make_weights(case) for case in FORMULATIONS]
    for case, initial in zip(FORMULATIONS, before, strict=True):
        assert (records[case]["adversary"][0] - initial).abs().max() > 1e-4
        assert records[case]["weights"][0].std() > 0.01


def make_weights(case: str) -> Tensor:
    torch.manual_seed(3)
    nn.Linear(5, EMBEDDING_SIZE)
    return next(iter(make_objective(case).adversary.state_dict().values()))


def test_rows_come_in_the_order_they_were_dealt(two_processes: list[Any]) -> None:
    (_, first), (_, second) = two_processes
    assert first == ([1, 10, 2, 3], [0, 2, 3], [3, 3, 3])  # gradients: 1 + 2 from both
    assert second == ([1, 10, 2, 3], [1], [3])


def test_one_process_keeps_its_batch() -> None:
    x = torch.randn(4, 3, requires_grad=True)
    batch = gather_speaker_batch(x, torch.tensor([0, 0, 1, 1]))
    assert batch.embeddings is x
    assert isinstance(batch, SpeakerBatch) and batch.share == 1
    with pytest.raises(ValueError, match="one integer for each of 4 embeddings"):
        gather_speaker_batch(x, torch.tensor([0, 0, 1]))
