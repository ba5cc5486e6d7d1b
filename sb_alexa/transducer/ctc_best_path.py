"""Best-path decoding of CTC outputs, to watch an encoder that has no transducer yet."""

from __future__ import annotations

from torch import Tensor

from sb_alexa.transducer.hypothesis import Hypothesis


def ctc_best_path(log_probs: Tensor, num_frames: Tensor, blank_index: int = 0) -> list[Hypothesis]:
    """Take the best label of every frame, merge repetitions, drop blanks.

    Arguments
    ---------
    log_probs : Tensor
        (B, T, V) log-probabilities.
    num_frames : Tensor
        (B,) valid frames.
    blank_index : int
        Label of the blank.

    Returns
    -------
    list of Hypothesis
        One for each utterance.

    Reference
    ---------
    Graves et al. 2006, "Connectionist Temporal Classification", ICML, section 3.2.

    Example
    -------
    >>> import torch
    >>> frames = torch.nn.functional.one_hot(torch.tensor([[1, 1, 0, 1, 2]]), 3).float()
    >>> ctc_best_path(frames.log(), torch.tensor([5]))[0].tokens
    (1, 1, 2)
    """
    best, labels = log_probs.max(dim=-1)  # (B, T)
    hypotheses = []
    for row, scores, length in zip(
        labels.tolist(), best.tolist(), num_frames.tolist(), strict=True
    ):
        kept = [
            frame
            for frame in range(length)
            if row[frame] != blank_index and (frame == 0 or row[frame] != row[frame - 1])
        ]
        hypotheses.append(
            Hypothesis(
                tokens=tuple(row[frame] for frame in kept),
                frames=tuple(kept),
                log_probs=tuple(scores[frame] for frame in kept),
            )
        )
    return hypotheses
