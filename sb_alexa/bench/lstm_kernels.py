"""Which way to run an LSTM is the fastest on this CPU for a chunk of a stream."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from sb_alexa.nn.lstm import StreamingLSTM


@contextmanager
def onednn(enabled: bool) -> Iterator[None]:
    """Switch oneDNN on or off inside of the block, for all threads."""
    with warnings.catch_warnings():
        # torch sets the TF32 flag along with the switch and warns that only Intel GPUs have it.
        warnings.filterwarnings("ignore", message="TF32 acceleration")
        with torch.backends.mkldnn.flags(enabled=enabled):
            yield


@torch.inference_mode()
def compare_lstm_kernels(
    *,
    batch_size: int = 1,
    num_frames: int = 5,
    num_layers: int = 6,
    hidden_size: int = 640,
    num_repetitions: int = 30,
) -> dict[str, float]:
    """Time a bare LSTM stack as `StreamingLSTM` runs it and as torch does, in turns.

    Arguments
    ---------
    batch_size : int
        Streams.
    num_frames : int
        Frames of a chunk.
    num_layers, hidden_size : int
        Of the stack; the defaults are those of the paper's ConvRNN-T.
    num_repetitions : int
        Runs of each.

    Returns
    -------
    dict
        Median times of a chunk in ms: ``ours``, and torch's layer with its two kernels, ``onednn``
        and ``native``.
    """
    layers = [
        StreamingLSTM(input_size=hidden_size, hidden_size=hidden_size) for _ in range(num_layers)
    ]
    chunk = torch.randn(batch_size, num_frames, hidden_size)
    states = [layer.initial_state(batch_size) for layer in layers]

    def ours() -> None:
        y = chunk
        for layer, state in zip(layers, states, strict=True):
            y = layer.forward_chunk(y, state)[0]

    def torchs() -> None:
        y: Tensor = chunk
        for layer in layers:
            y = layer.lstm(y)[0]

    ways: dict[str, tuple[bool, Callable[[], None]]] = {
        "ours": (True, ours),
        "onednn": (True, torchs),
        "native": (False, torchs),
    }
    times_ms: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(num_repetitions):
        for name, (enabled, function) in ways.items():
            with onednn(enabled):
                start = time.perf_counter()
                function()
                times_ms[name].append(1000.0 * (time.perf_counter() - start))
    return {name: float(np.median(times)) for name, times in times_ms.items()}
