"""Clusters of speaker embeddings that keep their numbers while the embeddings move."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sb_alexa.fairness.kmeans import fit_kmeans, squared_distances


class EmbeddingClusters(nn.Module):
    """K-means of embeddings, refitted every epoch; cluster c stays cluster c.

    Embeddings are scaled to unit length. After a refit the new centroids are matched to the old
    ones so that the sum of squared distances is smallest (the Hungarian algorithm): to the
    adversary, which sees a cluster as a one-hot vector, a number keeps its meaning.

    The newest embeddings of training are remembered, so that a refit costs no pass over the corpus;
    those from the start of an epoch are a little old.

    Arguments
    ---------
    embedding_size : int
        E.
    num_clusters : int
        K; 10 is our choice.
    memory_size : int
        Embeddings remembered; they are part of a checkpoint (4 E bytes each).
    seed : int
        Of the starting points, with the epoch.

    Shape
    -----
    input : (N, E)
    output : (N,) integers in 0..num_clusters - 1

    Raises
    ------
    ValueError
        If a size is out of range; in a call, if the clusters were never fitted.

    Reference
    ---------
    Kuhn, "The Hungarian method for the assignment problem", 1955.

    Example
    -------
    >>> clusters = EmbeddingClusters(embedding_size=2, num_clusters=2)
    >>> first = torch.tensor([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0], [0.1, 3.0]])
    >>> clusters.refit(first, epoch=1)
    >>> before = clusters(first)
    >>> clusters.refit(first.flip(0) + 0.01, epoch=2)
    >>> torch.equal(clusters(first), before)
    True
    """

    def __init__(
        self,
        *,
        embedding_size: int,
        num_clusters: int = 10,
        memory_size: int = 10_000,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if embedding_size < 1 or num_clusters < 2 or memory_size < num_clusters:
            raise ValueError(
                "embedding_size must be >= 1, num_clusters >= 2 and memory_size >= num_clusters, "
                f"got {embedding_size}, {num_clusters} and {memory_size}"
            )
        self.embedding_size = embedding_size
        self.num_clusters = num_clusters
        self.seed = seed
        self.centroids: Tensor
        self.memory: Tensor
        self.register_buffer("centroids", torch.zeros(num_clusters, embedding_size))
        self.register_buffer("memory", torch.zeros(memory_size, embedding_size))
        # Numbers, not buffers: reading them must not wait for a GPU.
        self._num_seen = 0
        self._num_fits = 0

    @property
    def fitted(self) -> bool:
        """Whether the clusters exist."""
        return self._num_fits > 0

    @property
    def remembered(self) -> Tensor:
        """(n, E) the newest embeddings of training, in no particular order."""
        return self.memory[: self._num_seen]

    @torch.no_grad()
    def remember(self, embeddings: Tensor) -> None:
        """Keep embeddings (N, E) for the next refit; they replace the oldest ones."""
        newest = embeddings.detach()[-len(self.memory) :].to(self.memory.dtype)
        places = torch.arange(len(newest), device=self.memory.device) + self._num_seen
        self.memory[places % len(self.memory)] = newest
        self._num_seen += len(newest)

    @torch.no_grad()
    def refit(self, embeddings: Tensor, *, epoch: int) -> None:
        """Make the clusters anew and number them as before.

        Arguments
        ---------
        embeddings : Tensor
            (n, E) of training, n at least the number of clusters.
        epoch : int
            Decides the starting points together with the seed.

        Raises
        ------
        ValueError
            If there are too few embeddings, or they are not finite.
        """
        digest = hashlib.sha256(f"{self.seed} {epoch}".encode()).digest()
        points = F.normalize(embeddings.detach().to(self.centroids.dtype), dim=1)
        centroids = fit_kmeans(points, self.num_clusters, seed=int.from_bytes(digest[:7], "big"))
        if self.fitted:
            centroids = centroids[_matching(self.centroids, centroids)]
        self.centroids.copy_(centroids)
        self._num_fits += 1

    @torch.no_grad()
    def forward(self, embeddings: Tensor) -> Tensor:
        """See the class."""
        if not self.fitted:
            raise ValueError(
                "the clusters were never fitted; call refit with embeddings of the training set "
                "first"
            )
        with torch.autocast(embeddings.device.type, enabled=False):
            points = F.normalize(embeddings.to(self.centroids.dtype), dim=1)
            return squared_distances(points, self.centroids).argmin(1)

    def get_extra_state(self) -> dict[str, int]:
        """Counters, part of the state_dict."""
        return {"num_seen": self._num_seen, "num_fits": self._num_fits}

    def set_extra_state(self, state: Any) -> None:
        """See `get_extra_state`."""
        self._num_seen, self._num_fits = state["num_seen"], state["num_fits"]

    def extra_repr(self) -> str:
        return f"{self.embedding_size}, num_clusters={self.num_clusters}"


def _matching(old: Tensor, new: Tensor) -> Tensor:
    """For each old centroid the index of its new one."""
    from scipy.optimize import linear_sum_assignment

    _, columns = linear_sum_assignment(squared_distances(old, new).cpu().numpy())
    return torch.as_tensor(columns, device=new.device)
