from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from sb_alexa.fairness.embedding_clusters import EmbeddingClusters
from sb_alexa.fairness.kmeans import fit_kmeans, squared_distances


def inertia(points: Tensor, centroids: Tensor) -> float:
    return float(torch.cdist(points, centroids).square().amin(1).sum())


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_finds_the_best_partition_of_few_points(seed: int) -> None:
    points = torch.randn(9, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    best = min(
        sum(
            float((part - part.mean(0)).square().sum())
            for part in (points[mask], points[~mask])
            if len(part)
        )
        for bits in itertools.product([False, True], repeat=8)
        if (mask := torch.tensor([True, *bits])).any()
    )
    found = fit_kmeans(points, 2, seed=0, num_restarts=20)
    assert inertia(points, found) == pytest.approx(best, rel=1e-9)


def test_kmeans_finds_separate_blobs_and_repeats_itself() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    points = centres.repeat(50, 1) + 0.1 * torch.randn(200, 2)
    found = fit_kmeans(points, 4, seed=3)
    assert squared_distances(centres, found).amin(1).max() < 0.01
    assert torch.equal(found, fit_kmeans(points, 4, seed=3))


def test_kmeans_of_equal_points_ends() -> None:
    points = torch.cat([torch.zeros(5, 2), torch.ones(1, 2)])
    found = fit_kmeans(points, 3, seed=0)
    assert inertia(points, found) == 0


def test_kmeans_refuses_what_has_no_clusters() -> None:
    with pytest.raises(ValueError, match="cannot make 3 clusters of 2 points"):
        fit_kmeans(torch.zeros(2, 4), 3, seed=0)
    with pytest.raises(ValueError, match="finite points"):
        fit_kmeans(torch.full((4, 2), float("nan")), 2, seed=0)


def blobs(angle: float) -> Tensor:
    """200 embeddings around 5 directions, turned by an angle, of unequal lengths."""
    directions = torch.arange(5).repeat_interleave(40) * (2 * torch.pi / 5) + angle
    directions = directions + 0.05 * torch.randn(200)
    lengths = torch.rand(200, 1) + 0.5
    return lengths * torch.stack([directions.cos(), directions.sin()], 1)


def test_clusters_keep_their_numbers_while_embeddings_move() -> None:
    clusters = EmbeddingClusters(embedding_size=2, num_clusters=5)
    clusters.refit(blobs(0.0), epoch=1)
    first = clusters(blobs(0.0))
    for epoch in range(2, 12):
        clusters.refit(blobs(0.2 * (epoch - 1)), epoch=epoch)
    # Turned by 2 rad altogether, much more than the 1.26 rad between two clusters.
    assert torch.equal(clusters(blobs(2.0)), first)
    assert first.view(5, 40).unique(dim=1).shape == (5, 1)
    assert len(first.unique()) == 5


def test_the_newest_embeddings_are_remembered() -> None:
    clusters = EmbeddingClusters(embedding_size=1, num_clusters=2, memory_size=5)
    for start in (0, 3, 6):
        clusters.remember(torch.arange(start, start + 3.0)[:, None])
    assert sorted(clusters.remembered.flatten().tolist()) == [4, 5, 6, 7, 8]
    clusters.remember(torch.arange(100.0, 120.0)[:, None])
    assert sorted(clusters.remembered.flatten().tolist()) == [115, 116, 117, 118, 119]


def test_a_copy_from_its_state_goes_on_alike() -> None:
    clusters = EmbeddingClusters(embedding_size=2, num_clusters=5, memory_size=100)
    clusters.remember(blobs(0.0)[:60])
    clusters.refit(clusters.remembered, epoch=1)
    copy = EmbeddingClusters(embedding_size=2, num_clusters=5, memory_size=100)
    copy.load_state_dict(clusters.state_dict())
    assert copy.fitted
    more = blobs(0.5)[:60]
    for each in (clusters, copy):
        each.remember(more)
        each.refit(each.remembered, epoch=2)
    assert torch.equal(clusters.memory, copy.memory)
    assert torch.equal(clusters.centroids, copy.centroids)


def test_misuse_is_refused() -> None:
    clusters = EmbeddingClusters(embedding_size=2)
    with pytest.raises(ValueError, match="never fitted; call refit"):
        clusters(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="memory_size >= num_clusters, got 2, 10 and 9"):
        EmbeddingClusters(embedding_size=2, memory_size=9)
