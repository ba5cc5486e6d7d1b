"""The transducer loss in plain Python, to compare fast implementations with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Grid = Sequence[Sequence[float]]


@dataclass(frozen=True)
class ReferenceLoss:
    """Loss of one utterance and its gradients.

    Arguments
    ---------
    loss : float
        Nats; inf if no alignment is possible.
    blank_grad : list of list of float
        (T, U + 1), the derivative by each blank log-probability.
    label_grad : list of list of float
        (T, U), the derivative by each label log-probability.
    """

    loss: float
    blank_grad: list[list[float]]
    label_grad: list[list[float]]


def reference_transducer_loss(
    blank_logp: Grid,
    label_logp: Grid,
    *,
    fastemit_lambda: float = 0.0,
    label_penalty: Grid | None = None,
) -> ReferenceLoss:
    """Forward-backward over the lattice of one utterance, node by node in float64.

    Arguments
    ---------
    blank_logp : sequence of sequence of float
        (T, U + 1) log-probability (nats) of the blank after t frames and u labels.
    label_logp : sequence of sequence of float
        (T, U) log-probability of label u + 1 in node (t, u).
    fastemit_lambda : float
        Label gradients are multiplied by 1 + lambda; the value stays.
    label_penalty : sequence of sequence of float | None
        (T, U) nats added to `label_logp`.

    Returns
    -------
    ReferenceLoss
        Value and gradients.

    Reference
    ---------
    Graves 2012, arXiv 1211.3711, equations 16-20; Yu et al. 2021 (FastEmit), arXiv 2010.11148.

    Example
    -------
    >>> half = math.log(0.5)
    >>> result = reference_transducer_loss([[half, half], [half, half]], [[half], [half]])
    >>> round(math.exp(-result.loss), 9)  # two alignments of three arcs
    0.25
    >>> [[round(g, 9) for g in row] for row in result.label_grad]
    [[-0.5], [-0.5]]
    """
    num_frames, num_labels = len(blank_logp), len(blank_logp[0]) - 1
    label = [list(map(float, row)) for row in label_logp]
    if label_penalty is not None:
        pairs = zip(label, label_penalty, strict=True)
        label = [[a + b for a, b in zip(*rows, strict=True)] for rows in pairs]
    alpha = [[-math.inf] * (num_labels + 1) for _ in range(num_frames)]
    for t in range(num_frames):
        for u in range(num_labels + 1):
            stay = alpha[t - 1][u] + blank_logp[t - 1][u] if t else -math.inf
            emit = alpha[t][u - 1] + label[t][u - 1] if u else -math.inf
            alpha[t][u] = 0.0 if t == u == 0 else log_add(stay, emit)
    # beta has one more row, in which only the final node (T, U) can be left.
    beta = [[-math.inf] * (num_labels + 1) for _ in range(num_frames + 1)]
    beta[num_frames][num_labels] = 0.0
    for t in reversed(range(num_frames)):
        for u in reversed(range(num_labels + 1)):
            emit = beta[t][u + 1] + label[t][u] if u < num_labels else -math.inf
            beta[t][u] = log_add(beta[t + 1][u] + blank_logp[t][u], emit)
    total = beta[0][0]

    def occupancy(arc: float) -> float:
        # Next to huge numbers, rounding may leave more than certainty.
        return math.exp(min(arc - total, 0.0)) if total > -math.inf else 0.0

    frames, labels = range(num_frames), range(num_labels + 1)
    return ReferenceLoss(
        loss=-total,
        blank_grad=[
            [-occupancy(alpha[t][u] + blank_logp[t][u] + beta[t + 1][u]) for u in labels]
            for t in frames
        ],
        label_grad=[
            [
                -(1 + fastemit_lambda) * occupancy(alpha[t][u] + label[t][u] + beta[t][u + 1])
                for u in range(num_labels)
            ]
            for t in frames
        ],
    )


def log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b)), also of two impossible events.

    Example
    -------
    >>> log_add(-math.inf, -math.inf), log_add(0.0, -math.inf)
    (-inf, 0.0)
    """
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
