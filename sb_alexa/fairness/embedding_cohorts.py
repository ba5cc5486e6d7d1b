"""Cohorts of similar voices, found without any labels."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike

from sb_alexa.fairness.cohort_gap import CohortCounts, CohortGap, measure_gap
from sb_alexa.fairness.cohort_json import build, checked_keys
from sb_alexa.fairness.geographic_regions import gap_from_json
from sb_alexa.fairness.kmeans import fit_kmeans, squared_distances
from sb_alexa.fairness.speaker_totals import SpeakerTotals, name_rows, speakers_in_discovery

COHORTS = ("bottom", "top")
_MOST_CLUSTERS = 50
_SPEAKERS_PER_CLUSTER = 40
# As in FAISS (Johnson et al., arXiv 1702.08734), whose k-means samples as many for each centroid.
_MOST_POINTS_PER_CLUSTER = 256
_BLOCK_ROWS = 100_000


@dataclass(frozen=True)
class EmbeddingCluster:
    """One cluster of speakers.

    Arguments
    ---------
    discovery, held_out : CohortCounts
        Of the half of the speakers that made and ranked the clusters, and of the other.
    is_bottom : bool
        Whether it belongs to the bottom cohort.
    """

    discovery: CohortCounts
    held_out: CohortCounts
    is_bottom: bool


@dataclass(frozen=True, eq=False)
class EmbeddingCohorts:
    """Clusters of speaker embeddings, the worst of which are the bottom cohort.

    Make it with `discover`.

    Arguments
    ---------
    centroids : numpy.ndarray
        (K, E) float32, of embeddings of unit length, by rank: the first has the highest WER.
    clusters : tuple of EmbeddingCluster
        In the same order.
    gap : CohortGap
        Between the cohorts, on the half of the speakers that did not choose them.
    """

    centroids: np.ndarray
    clusters: tuple[EmbeddingCluster, ...]
    gap: CohortGap

    @classmethod
    def discover(
        cls,
        embeddings: ArrayLike,
        errors: ArrayLike,
        words: ArrayLike,
        speakers: Sequence[object] | np.ndarray,
        *,
        num_clusters: int | None = None,
        max_share: float = 0.1,
        min_speakers: int = 20,
        in_discovery: ArrayLike | None = None,
        seed: int = 0,
    ) -> EmbeddingCohorts:
        """Cluster speakers by voice and take the clusters that are served worst.

        Half of the speakers make the clusters and rank them, the others measure the gap. From the
        worst cluster on, clusters join the bottom cohort while it has at most `max_share` of the
        speakers; the first one joins in any case.

        Arguments
        ---------
        embeddings : array of float
            (N, E) of each utterance (or speaker). A speaker's is the mean of those of unit length.
        errors, words : array of float
            (N,) word errors and reference words. Speakers without any word take no part.
        speakers : sequence
            (N,) who speaks.
        num_clusters : int | None
            K; None for one in 40 speakers, 50 at most.
        max_share : float
            Of the speakers, in the bottom cohort.
        min_speakers : int
            A cluster with fewer, both halves together, is never called the worst.
        in_discovery : array of bool | None
            (N,) rows of the speakers who make the clusters; None draws half of them. The same for
            all rows of a speaker.
        seed : int
            Of the halves and of the clusters.

        Returns
        -------
        EmbeddingCohorts

        Raises
        ------
        ValueError
            If an embedding is not finite or is zero, there are too few speakers, or no cluster has
            enough of them.

        Reference
        ---------
        Dheram et al., "Toward fairness in speech recognition: discovery and mitigation of
        performance disparities", Interspeech 2022, arXiv 2207.11345; the full text was not
        available to us. Theirs: k-means of speaker embeddings, clusters ranked by WER, nearest
        centroids for new speakers. Ours: K, the 10 % and 20 speakers, the two halves, the unit
        length, that the top cohort is everyone else, and k-means on a random 256 speakers for
        each cluster where there are more.

        Example
        -------
        >>> generator = np.random.default_rng(0)
        >>> voices = np.repeat(np.eye(8), 40, axis=0)
        >>> errors = generator.poisson(np.where(voices[:, 5] == 1, 20, 10))
        >>> found = EmbeddingCohorts.discover(
        ...     voices + generator.normal(0, 0.1, (320, 8)),
        ...     errors,
        ...     np.full(320, 100),
        ...     range(320),
        ...     max_share=0.125,
        ... )
        >>> found.assign(np.eye(8)[[5, 0]]).tolist(), round(found.gap.relative, 1)
        (['bottom', 'top'], 0.9)
        """
        if not 0 < max_share < 1 or min_speakers < 2:
            raise ValueError(
                "max_share must lie between 0 and 1 and min_speakers be >= 2, got "
                f"{max_share} and {min_speakers}; 0.1 and 20 are ours"
            )
        totals = SpeakerTotals.of(errors, words, speakers)
        voices = _by_speaker(_unit(embeddings), totals)
        spoken = totals.words > 0
        finders = speakers_in_discovery(totals, np.flatnonzero(spoken), in_discovery, seed=seed)
        voices, errors, words = voices[spoken], totals.errors[spoken], totals.words[spoken]
        count = num_clusters or min(_MOST_CLUSTERS, len(voices) // _SPEAKERS_PER_CLUSTER)
        if count < 2:
            raise ValueError(
                f"{len(voices)} speakers are too few for clusters of {_SPEAKERS_PER_CLUSTER}; "
                f"{2 * _SPEAKERS_PER_CLUSTER} are needed, or give num_clusters (at least 2)"
            )
        centroids = _centroids(voices[finders], count, seed)
        nearest = _nearest(voices, centroids)
        halves = [
            [
                CohortCounts.of(errors[part], words[part])
                for part in ((nearest == c) & half for c in range(count))
            ]
            for half in (finders, ~finders)
        ]
        order = sorted(range(count), key=lambda c: -np.nan_to_num(halves[0][c].wer))
        bottom = _bottom([(halves[0][c], halves[1][c]) for c in order], max_share, min_speakers)
        worst = [cluster for cluster, is_bottom in zip(order, bottom, strict=True) if is_bottom]
        held_out = ~finders
        gap = measure_gap(
            errors[held_out], words[held_out], np.isin(nearest[held_out], worst), seed=seed
        )
        clusters = tuple(
            EmbeddingCluster(halves[0][c], halves[1][c], is_bottom)
            for c, is_bottom in zip(order, bottom, strict=True)
        )
        return cls(centroids[order], clusters, gap)

    @property
    def cohorts(self) -> tuple[str, ...]:
        """What `assign` may answer."""
        return COHORTS

    def assign(self, embeddings: ArrayLike) -> np.ndarray:
        """Put new speakers or utterances into the cohort of their nearest centroid.

        Arguments
        ---------
        embeddings : array of float
            (N, E), from the same speaker model.

        Returns
        -------
        numpy.ndarray
            (N,) ``bottom`` or ``top``.

        Raises
        ------
        ValueError
            If the embeddings have another size, one is not finite or is zero.
        """
        is_bottom = np.array([cluster.is_bottom for cluster in self.clusters])
        return np.where(is_bottom[self.assign_clusters(embeddings)], *COHORTS)

    def assign_clusters(self, embeddings: ArrayLike) -> np.ndarray:
        """(N,) rank of the nearest centroid of each embedding, 0 for the worst cluster."""
        unit = _unit(embeddings)
        if unit.shape[1] != self.centroids.shape[1]:
            raise ValueError(
                f"the cohorts were found on embeddings of {self.centroids.shape[1]} numbers, these "
                f"have {unit.shape[1]}; use the same speaker model"
            )
        return _nearest(unit, self.centroids)

    def to_json(self) -> dict[str, Any]:
        """JSON values; `from_json` makes the same cohorts of them."""
        little_endian = self.centroids.astype("<f4").tobytes()
        return {
            "num_clusters": self.centroids.shape[0],
            "embedding_size": self.centroids.shape[1],
            "centroids_float32_base64": base64.b64encode(little_endian).decode("ascii"),
            "clusters": [asdict(cluster) for cluster in self.clusters],
            "gap": asdict(self.gap),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EmbeddingCohorts:
        """The cohorts that `to_json` described.

        Raises
        ------
        ValueError
            If a key is missing, unknown or of another type, or the sizes do not fit.
        """
        shape_keys = ("num_clusters", "embedding_size")
        names = {*shape_keys, "centroids_float32_base64", "clusters", "gap"}
        checked = checked_keys(values, names, cls.__name__)
        shape = tuple(checked[key] for key in shape_keys)
        try:
            raw = base64.b64decode(checked["centroids_float32_base64"], validate=True)
            centroids = np.frombuffer(raw, dtype="<f4").astype(np.float32).reshape(shape)
        except (ValueError, TypeError) as error:
            raise ValueError(f"the centroids are not {shape} numbers in base64: {error}") from error
        given = checked["clusters"]
        if not isinstance(given, list) or len(given) != len(centroids):
            raise ValueError(f"clusters must be a list of {len(centroids)}, one for each centroid")
        if not np.isfinite(centroids).all():
            raise ValueError("the centroids hold NaN or infinity")
        return cls(centroids, tuple(map(_cluster, given)), gap_from_json(checked["gap"]))


def _cluster(values: Any) -> EmbeddingCluster:
    inner = values if isinstance(values, dict) else {}
    halves = {key: build(CohortCounts, inner.get(key)) for key in ("discovery", "held_out")}
    return build(EmbeddingCluster, values, **halves)


def _bottom(
    halves: Sequence[tuple[CohortCounts, CohortCounts]], max_share: float, min_speakers: int
) -> list[bool]:
    """Which clusters, given from the worst on, are the bottom cohort."""
    speakers = [(first + second).speakers for first, second in halves]
    # The clusters are ranked on the first half and measured on the second: both must hear them.
    eligible = [
        count >= min_speakers and first.words > 0 and second.speakers >= 2
        for count, (first, second) in zip(speakers, halves, strict=True)
    ]
    if not any(eligible):
        raise ValueError(
            f"no cluster has {min_speakers} speakers, the largest has {max(speakers)}; ask for "
            "fewer clusters with num_clusters"
        )
    bottom, taken = [False] * len(halves), 0
    for rank, count in enumerate(speakers):
        if not eligible[rank]:
            continue
        if taken and taken + count > max_share * sum(speakers):
            break
        bottom[rank] = True
        taken += count
    return bottom


def _unit(embeddings: ArrayLike) -> np.ndarray:
    """(N, E) float32 of length 1."""
    values = np.asarray(embeddings, dtype=np.float32)
    if values.ndim != 2:
        raise ValueError(f"embeddings must have the shape (N, E), got {values.shape}")
    lengths = np.linalg.norm(values, axis=1)
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if wrong.size:
        raise ValueError(
            f"{wrong.size} embeddings are zero or not finite: rows {name_rows(wrong)}; leave such "
            "rows out"
        )
    return values / lengths[:, None]


def _by_speaker(unit: np.ndarray, totals: SpeakerTotals) -> np.ndarray:
    """(P, E) of length 1: the direction of the mean of each speaker's rows."""
    if len(unit) != len(totals.codes):
        raise ValueError(f"{len(unit)} embeddings for {len(totals.codes)} rows")
    # Rows of a speaker are added in an order of their own, as rounding depends on it.
    order = np.lexsort((*unit.T[:3], totals.codes))
    starts = np.searchsorted(totals.codes[order], np.arange(len(totals.names)))
    sums = np.add.reduceat(unit[order].astype(np.float64), starts, axis=0)
    return F.normalize(torch.from_numpy(sums), dim=1).float().numpy()


def _centroids(voices: np.ndarray, count: int, seed: int) -> np.ndarray:
    most = count * _MOST_POINTS_PER_CLUSTER
    if len(voices) > most:
        chosen = np.random.default_rng(seed).choice(len(voices), most, replace=False)
        voices = voices[chosen]
    return fit_kmeans(torch.from_numpy(voices), count, seed=seed).numpy()


def _nearest(unit: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    centres = torch.from_numpy(centroids)
    blocks = torch.from_numpy(unit).split(_BLOCK_ROWS)
    return torch.cat([squared_distances(block, centres).argmin(1) for block in blocks]).numpy()
