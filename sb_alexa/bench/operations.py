"""Counted multiply-adds of what is executed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sb_alexa.bench.audio import EndlessAudio
from sb_alexa.bench.lstm_kernels import onednn
from sb_alexa.bench.recogniser import Recogniser, RecogniserState
from sb_alexa.streaming.state import map_tensors


def _matrix_vector_flops(matrix: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * matrix[0] * matrix[1]


def _added_matrix_vector_flops(
    vector: Sequence[int], matrix: Sequence[int], *_: Any, **__: Any
) -> int:
    return _matrix_vector_flops(matrix)


def _attention_flops(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    batch, heads, queries, width = query  # (B, H, T, C / H)
    return 2 * batch * heads * queries * key[2] * (width + value[3])


# torch's counter knows the products of matrices and the attention kernels of GPUs, but not these.
_MORE_OPERATIONS = {
    torch.ops.aten.mv: _matrix_vector_flops,
    torch.ops.aten.addmv: _added_matrix_vector_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
}


def count_macs(function: Callable[[], object]) -> float:
    """Count the multiply-adds of the matrix products, convolutions and attention of a call.

    Arguments
    ---------
    function : Callable
        What to run.

    Returns
    -------
    float
        Multiply-adds.

    Example
    -------
    >>> count_macs(lambda: torch.ones(2, 3) @ torch.ones(3, 4))
    24.0
    """
    # oneDNN's LSTM is one opaque operation; torch's own consists of products that can be counted.
    with (
        onednn(enabled=False),
        FlopCounterMode(display=False, custom_mapping=_MORE_OPERATIONS) as counter,
    ):
        function()
    return counter.get_total_flops() / 2


def macs_per_second(
    recogniser: Recogniser, audio: EndlessAudio, *, num_chunks: int = 20, warm_up_chunks: int = 20
) -> float:
    """Count the multiply-adds of matrix products and convolutions for one second of audio.

    Front end, encoder and search are counted for chunks of a stream; element-wise work is not. Fast
    algorithms do not count: a convolution has the products of its direct form, as in publications.

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
    before = 0
    # Where gradients are enabled, layers run in their plain form.
    with (
        torch.enable_grad(),
        onednn(enabled=False),
        FlopCounterMode(display=False, custom_mapping=_MORE_OPERATIONS) as counter,
    ):
        for index in range(warm_up_chunks + num_chunks):
            if index == warm_up_chunks:
                before = counter.get_total_flops()
            samples = audio.chunk(index, 1, recogniser.chunk_samples)
            frames, features = recogniser.features.forward_chunk(samples, state.features)
            encoded, encoder = recogniser.encoder.forward_chunk(frames, state.encoder)
            search = recogniser.search.forward_chunk(encoded.detach(), state.search)[1]
            state = map_tensors(Tensor.detach, RecogniserState(features, encoder, search))
        total = counter.get_total_flops() - before
    return total / 2 / (num_chunks * recogniser.chunk_ms / 1000.0)
