"""A transducer that has learned to align, trained within a minute, so that benches need no data.

After training, nearly all cells of the lattice have an occupancy near zero and a search meets runs
of blanks between labels; with random weights neither is so, and both change what things cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sb_alexa.losses.transducer import transducer_loss
from sb_alexa.streaming.state import map_tensors
from sb_alexa.transducer.greedy import GreedySearch
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.lstm_predictor import LSTMPredictor

_BLANK = 0
# Standard deviation of the noise in all frames; that of the labels' codes is 1.
_NOISE = 0.3
_CODE_SEED = 1
# A window of training, and the windows after which the histories begin anew.
_BATCH, _FRAMES, _LABELS, _WINDOWS = 64, 10, 6, 8
# Each label is to be seen so often.
_VIEWS_OF_A_LABEL = 130
# Peak, for a joint of 512; narrower ones take larger steps.
_LEARNING_RATE = 5e-3
_WARM_UP_STEPS = 20
_SHARE_REQUIRED = 0.98


@dataclass(frozen=True)
class AlignedBatch:
    """Encoder frames in which every label is marked by its code at one frame, its onset.

    Arguments
    ---------
    encoder_out : Tensor
        (B, T, C); the padding holds noise.
    targets : Tensor
        (B, U) int64 labels without blanks; never two equal ones in a row; padded with the blank, 0.
    onsets : Tensor
        (B, U) int64 frame of each label, ascending; padded with T.
    num_frames, num_labels : Tensor
        (B,) int64 lengths; the first row has the full ones.
    """

    encoder_out: Tensor
    targets: Tensor
    onsets: Tensor
    num_frames: Tensor
    num_labels: Tensor


def aligned_batch(
    *,
    batch_size: int,
    num_frames: int,
    num_labels: int,
    vocabulary_size: int,
    feature_size: int,
    seed: int,
    min_length_share: float = 1.0,
) -> AlignedBatch:
    """Draw utterances whose alignment is known.

    Arguments
    ---------
    batch_size, num_frames, num_labels : int
        B, T and U.
    vocabulary_size : int
        V, blank (0) included, at least 3.
    feature_size : int
        C. The labels' codes depend on V and C only, so that all batches share them.
    seed : int
        The same seed gives the same batch.
    min_length_share : float
        Lengths are uniform between this share of T or U and the whole; 1 for full ones.

    Returns
    -------
    AlignedBatch
        On the CPU.

    Raises
    ------
    ValueError
        If a row might get more labels than frames, or a size is out of range.

    Example
    -------
    >>> batch = aligned_batch(
    ...     batch_size=2, num_frames=9, num_labels=3, vocabulary_size=5, feature_size=64, seed=0
    ... )
    >>> batch.encoder_out.shape, batch.targets.shape, batch.num_labels.tolist()
    (torch.Size([2, 9, 64]), torch.Size([2, 3]), [3, 3])
    >>> energy = batch.encoder_out.square().mean(-1)
    >>> bool((energy.topk(3).indices.sort().values == batch.onsets).all())
    True
    """
    if min(batch_size, num_frames, feature_size) < 1 or num_labels < 0 or vocabulary_size < 3:
        raise ValueError(
            "aligned_batch needs sizes >= 1, num_labels >= 0 and vocabulary_size >= 3, got "
            f"batch_size={batch_size}, num_frames={num_frames}, num_labels={num_labels}, "
            f"vocabulary_size={vocabulary_size}, feature_size={feature_size}"
        )
    if not 0 < min_length_share <= 1 or num_labels > _shortest(num_frames, min_length_share):
        raise ValueError(
            f"min_length_share {min_length_share} must lie in (0, 1] and leave a frame for each of "
            f"{num_labels} labels, even in the shortest of {num_frames} frames"
        )
    generator = torch.Generator().manual_seed(seed)
    frames = _lengths(generator, batch_size, num_frames, min_length_share)
    labels = _lengths(generator, batch_size, num_labels, min_length_share)
    targets = _draw_targets(generator, batch_size, num_labels, vocabulary_size)
    return _place(generator, targets, frames, labels, _codes(vocabulary_size, feature_size))


def train_aligned_transducer(
    *,
    vocabulary_size: int,
    joint_size: int = 512,
    feature_size: int | None = None,
    seed: int = 0,
    num_steps: int | None = None,
) -> tuple[LSTMPredictor, Joiner]:
    """Train predictor and joiner on aligned batches until each label is found at its onset.

    Training sees short windows only. The histories go on from window to window, so that what it
    learns holds for any T and U.

    Arguments
    ---------
    vocabulary_size : int
        V, blank (0) included.
    joint_size : int
        J, also the LSTM cells of the predictor.
    feature_size : int | None
        C of the batches; None means `joint_size`.
    seed : int
        The same seed gives the same weights.
    num_steps : int | None
        Steps of Adam with 64 windows of 10 frames and 6 labels; None means as many as V needs.

    Returns
    -------
    LSTMPredictor
        One layer, in evaluation mode.
    Joiner
        With projections and tanh, in evaluation mode.

    Raises
    ------
    RuntimeError
        If the result finds less than 98 % of the labels of an unseen batch, or adds more than 2 %.
    """
    feature_size = joint_size if feature_size is None else feature_size
    if num_steps is None:
        num_steps = max(120, _VIEWS_OF_A_LABEL * vocabulary_size // (_BATCH * _LABELS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        predictor = LSTMPredictor(
            num_labels=vocabulary_size,
            embedding_size=joint_size,
            hidden_size=joint_size,
            output_size=None,
        )
        joiner = Joiner(
            encoder_size=feature_size,
            predictor_size=joint_size,
            num_labels=vocabulary_size,
            joint_size=joint_size,
        )
    _fit(predictor, joiner, _codes(vocabulary_size, feature_size), seed=seed, num_steps=num_steps)
    found, added = alignment_quality(
        predictor,
        joiner,
        aligned_batch(
            batch_size=8,
            num_frames=100,
            num_labels=20,
            vocabulary_size=vocabulary_size,
            feature_size=feature_size,
            seed=seed + 1,
        ),
    )
    if found < _SHARE_REQUIRED or added > 1 - _SHARE_REQUIRED:
        raise RuntimeError(
            f"after {num_steps} steps the transducer finds {found:.1%} of the labels of an unseen "
            f"batch and adds {added:.1%}; give more num_steps or another seed"
        )
    return predictor, joiner


def alignment_quality(
    predictor: LSTMPredictor, joiner: Joiner, batch: AlignedBatch
) -> tuple[float, float]:
    """Shares of labels found at their onsets, and of emissions beyond them, both of the labels.

    Arguments
    ---------
    predictor, joiner
        In evaluation mode.
    batch : AlignedBatch
        With the features of the training.

    Returns
    -------
    found : float
        1 if greedy search emits every label at its onset.
    added : float
        0 if it emits nothing else.
    """
    search = GreedySearch(predictor=predictor, joiner=joiner)
    hypotheses = search(batch.encoder_out, batch.num_frames)
    found = emitted = 0
    for row, hypothesis in enumerate(hypotheses):
        count = int(batch.num_labels[row])
        truth = zip(
            batch.targets[row, :count].tolist(), batch.onsets[row, :count].tolist(), strict=True
        )
        found += len(set(truth) & set(zip(hypothesis.tokens, hypothesis.frames, strict=True)))
        emitted += len(hypothesis)
    total = int(batch.num_labels.sum())
    return found / total, (emitted - found) / total


def _fit(
    predictor: LSTMPredictor, joiner: Joiner, codes: Tensor, *, seed: int, num_steps: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    parameters = [*predictor.parameters(), *joiner.parameters()]
    rate = _LEARNING_RATE * math.sqrt(512 / joiner.output.in_features)
    optimizer = torch.optim.Adam(parameters, lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / _WARM_UP_STEPS) * (1.0 - step / num_steps)
    )
    frames, labels = torch.full((_BATCH,), _FRAMES), torch.full((_BATCH,), _LABELS)
    for step in range(num_steps):
        window = step % _WINDOWS
        if window == 0:
            story = _draw_targets(generator, _BATCH, _WINDOWS * _LABELS, len(codes))
            before, state = torch.full((_BATCH, 1), _BLANK), predictor.empty_state(_BATCH)
        targets = story[:, window * _LABELS : (window + 1) * _LABELS]
        batch = _place(generator, targets, frames, labels, codes)
        first, state = predictor.forward_chunk(torch.cat([before, targets[:, :-1]], 1), state)
        last, _ = predictor.forward_chunk(targets[:, -1:], state)
        loss = transducer_loss(
            batch.encoder_out,
            torch.cat([first, last], 1),
            joiner,
            targets,
            num_frames=frames,
            num_labels=labels,
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        schedule.step()
        before = targets[:, -1:]
        state = map_tensors(torch.detach, state)
    for module in (predictor, joiner):
        module.eval()


def _codes(vocabulary_size: int, feature_size: int) -> Tensor:
    """(V, C), one vector for each label."""
    generator = torch.Generator().manual_seed(_CODE_SEED)
    return torch.randn(vocabulary_size, feature_size, generator=generator)


def _shortest(length: int, min_share: float) -> int:
    return max(1, math.ceil(min_share * length)) if length else 0


def _lengths(generator: torch.Generator, batch_size: int, length: int, min_share: float) -> Tensor:
    """(B,) uniform between the share and the whole, the first one the whole."""
    low = _shortest(length, min_share)
    lengths = torch.randint(low, length + 1, (batch_size,), generator=generator)
    lengths[0] = length
    return lengths


def _draw_targets(
    generator: torch.Generator, batch_size: int, num_labels: int, vocabulary_size: int
) -> Tensor:
    """(B, U) labels 1..V-1, each different from the one before."""
    steps = torch.randint(
        1, vocabulary_size - 1, (batch_size, num_labels), generator=generator
    )  # modulo V - 1, which none of them is a multiple of
    first = torch.randint(vocabulary_size - 1, (batch_size, 1), generator=generator)
    return (first + steps.cumsum(1)) % (vocabulary_size - 1) + 1


def _place(
    generator: torch.Generator,
    targets: Tensor,
    num_frames: Tensor,
    num_labels: Tensor,
    codes: Tensor,
) -> AlignedBatch:
    """Give every label an onset of its own and mark it in the noise."""
    batch, max_frames = len(targets), int(num_frames.max())
    # The labels' frames are those with the largest numbers: padding gets the least.
    score = torch.rand(batch, max_frames, generator=generator)
    score = score.masked_fill(torch.arange(max_frames) >= num_frames[:, None], -1.0)
    ranked = score.argsort(1, descending=True)[:, : targets.shape[1]]
    is_padding = torch.arange(targets.shape[1]) >= num_labels[:, None]
    onsets = ranked.masked_fill(is_padding, max_frames).sort(1).values
    noise = _NOISE * torch.randn(batch, max_frames + 1, codes.shape[1], generator=generator)
    index = onsets[..., None].expand(-1, -1, codes.shape[1])
    marked = noise.scatter_add(1, index, codes[targets])  # padding falls behind the last frame
    return AlignedBatch(
        marked[:, :max_frames].contiguous(),
        targets.masked_fill(is_padding, _BLANK),
        onsets,
        num_frames,
        num_labels,
    )
