"""K-means on tensors, the same result for the same seed on every run."""

from __future__ import annotations

import torch
from torch import Tensor


def fit_kmeans(
    points: Tensor,
    num_clusters: int,
    *,
    seed: int,
    num_restarts: int = 3,
    max_iterations: int = 100,
) -> Tensor:
    """Centroids of the best of some runs of Lloyd's algorithm from k-means++ starts.

    Arguments
    ---------
    points : Tensor
        (n, E) floats, on any device.
    num_clusters : int
        1..n.
    seed : int
        Of the starts.
    num_restarts : int
        Runs; the one with the smallest sum of squared distances is kept.
    max_iterations : int
        Of a run.

    Returns
    -------
    Tensor
        (num_clusters, E).

    Raises
    ------
    ValueError
        If there are fewer points than clusters or a point is not finite.

    Reference
    ---------
    Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.

    Example
    -------
    >>> points = torch.tensor([[0.0], [0.2], [9.0], [9.2]])
    >>> sorted(round(c, 3) for (c,) in fit_kmeans(points, 2, seed=0).tolist())
    [0.1, 9.1]
    """
    if not 1 <= num_clusters <= len(points):
        raise ValueError(
            f"k-means cannot make {num_clusters} clusters of {len(points)} points; ask for fewer "
            "clusters or fit later, when there are more"
        )
    if not bool(torch.isfinite(points).all()):
        raise ValueError("k-means needs finite points; the embeddings hold NaN or infinity")
    generator = torch.Generator().manual_seed(seed)
    best, lowest = points[:num_clusters], float("inf")
    for _ in range(num_restarts):
        centroids = _lloyd(points, _start(points, num_clusters, generator), max_iterations)
        inertia = float(squared_distances(points, centroids).amin(1).sum())
        if inertia < lowest:
            best, lowest = centroids, inertia
    return best


def squared_distances(points: Tensor, centroids: Tensor) -> Tensor:
    """(n, E) and (C, E) to (n, C)."""
    products = points @ centroids.t()
    squares = points.square().sum(1, keepdim=True) + centroids.square().sum(1)
    return (squares - 2 * products).clamp_min(0)


def _start(points: Tensor, num_clusters: int, generator: torch.Generator) -> Tensor:
    """k-means++: each next centroid is a point drawn by its squared distance to the others."""
    # Drawn on the CPU, so that the device does not change the result.
    draws = torch.rand(num_clusters, generator=generator, dtype=torch.float64).tolist()
    chosen = [int(draws[0] * len(points))]
    nearest = squared_distances(points, points[chosen]).squeeze(1)
    for draw in draws[1:]:
        cumulative = nearest.double().cumsum(0)
        index = torch.searchsorted(cumulative, draw * cumulative[-1:], right=True)
        chosen.append(min(int(index), len(points) - 1))
        nearest = torch.minimum(nearest, squared_distances(points, points[chosen[-1:]]).squeeze(1))
    return points[chosen]


def _lloyd(points: Tensor, centroids: Tensor, max_iterations: int) -> Tensor:
    labels = None
    for _ in range(max_iterations):
        distances = squared_distances(points, centroids)
        nearest, new_labels = distances.min(1)
        if labels is not None and torch.equal(labels, new_labels):
            break
        labels = new_labels
        # A product, not a scatter: sums by atomics differ between runs on a GPU.
        members = torch.nn.functional.one_hot(labels, len(centroids)).to(points.dtype)  # (n, C)
        counts = members.sum(0)
        centroids = (members.t() @ points) / counts.clamp_min(1)[:, None]
        empty = (counts == 0).nonzero().squeeze(1)
        if len(empty):  # they take the points that are served worst
            centroids[empty] = points[nearest.topk(len(empty)).indices]
    return centroids
