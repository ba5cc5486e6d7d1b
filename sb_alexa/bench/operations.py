"""Counted multiply-adds of a streaming recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from sb_alexa.bench.audio import EndlessAudio
from sb_alexa.bench.lstm_kernels import onednn
from sb_alexa.bench.recogniser import Recogniser


def _matrix_vector_flops(
    vector: Sequence[int], matrix: Sequence[int], *_: Sequence[int], **__: Any
) -> int:
    return 2 * matrix[0] * matrix[1]


# torch's counter knows products of matrices, but not the matrix-vector products of a single stream.
_MORE_OPERATIONS = {torch.ops.aten.addmv: _matrix_vector_flops}


def macs_per_second(
    recogniser: Recogniser, audio: EndlessAudio, *, num_chunks: int = 20, warm_up_chunks: int = 20
) -> float:
    """Count the multiply-adds of matrix products and convolutions for one second of audio.

    Front end, encoder and search are counted as they run in a stream; element-wise work is not.

    Arguments
    ---------
    recogniser : Recogniser
        The model.
    audio : EndlessAudio
        What it hears: the search works more where more labels come out.
    num_chunks : int
        Chunks counted.
    warm_up_chunks : int
        Chunks before, which fill the left context of attention.

    Returns
    -------
    float
        Multiply-adds per second of audio.
    """
    state = recogniser.initial_state(1)
    for index in range(warm_up_chunks):
        samples = audio.chunk(index, 1, recogniser.chunk_samples)
        state = recogniser.step(samples, state)[1]
    # oneDNN's LSTM is one opaque operation; torch's own consists of products that can be counted.
    with (
        onednn(enabled=False),
        FlopCounterMode(display=False, custom_mapping=_MORE_OPERATIONS) as counter,
    ):
        for index in range(warm_up_chunks, warm_up_chunks + num_chunks):
            samples = audio.chunk(index, 1, recogniser.chunk_samples)
            state = recogniser.step(samples, state)[1]
    seconds = num_chunks * recogniser.chunk_ms / 1000.0
    return counter.get_total_flops() / 2 / seconds
