from __future__ import annotations

import gc
import time
from dataclasses import replace
from statistics import median
from typing import Any

import pytest
import torch

from sb_alexa.encoders.amortized import AmortizedTransformerEncoder
from sb_alexa.encoders.transformer import CausalTransformer, TransformerEncoder
from sb_alexa.nn.random_arbitrator import RandomArbitrator
from sb_alexa.streaming.state import named_tensors

FRAMES_PER_CHUNK, NUM_CHUNKS = 60, 2000  # 120,000 frames of 30 ms
SIZES: dict[str, Any] = {
    "input_size": 6,
    "d_model": 8,
    "nhead": 2,
    "num_layers": 2,
    "d_ffn": 16,
    "output_size": 5,
    "left_context_frames": 50,
}


def build(kind: str) -> CausalTransformer:
    torch.manual_seed(0)
    if kind == "dense":
        return TransformerEncoder(**SIZES).eval()
    arbitrator = RandomArbitrator(input_size=8, num_blocks=2, nhead=2, query=0.5, key=0.3)
    return AmortizedTransformerEncoder(**SIZES, arbitrators=[arbitrator]).eval()


@pytest.mark.parametrize("kind", ["dense", "amortized"])
def test_one_hour_in_constant_memory_and_time(kind: str) -> None:
    """The state's storage, the number of tensors that are alive and the time of a chunk."""
    encoder = build(kind)
    state = encoder.initial_state(1)
    sizes, alive, seconds = set(), [], []
    x = torch.randn(NUM_CHUNKS, 1, FRAMES_PER_CHUNK, 6)
    with torch.inference_mode():
        for number, chunk in enumerate(x):
            begin = time.perf_counter()
            y, state = encoder.forward_chunk(chunk, state)
            seconds.append(time.perf_counter() - begin)
            storages = {t.untyped_storage().data_ptr(): t for _, t in named_tensors(state)}
            sizes.add(sum(tensor.untyped_storage().nbytes() for tensor in storages.values()))
            if number in (100, NUM_CHUNKS - 1):
                gc.collect()
                alive.append(sum(type(thing) is torch.Tensor for thing in gc.get_objects()))
    assert state.frame.tolist() == [FRAMES_PER_CHUNK * NUM_CHUNKS]
    assert bool(y.isfinite().all())
    assert len(sizes) == 1
    assert alive[1] <= alive[0]
    assert median(seconds[-500:]) < 3 * median(seconds[:500])


@pytest.mark.parametrize("kind", ["dense", "amortized"])
def test_after_an_hour_distances_are_exact(kind: str) -> None:
    """In single precision a stream that begins with frame 120,000 is as good as a fresh one."""
    encoder = build(kind)
    if isinstance(encoder, AmortizedTransformerEncoder):  # whose gates change with the number
        encoder.threshold = 0.0
    x, young, old = torch.randn(1, 140, 6), encoder.initial_state(1), encoder.initial_state(1)
    with torch.no_grad():
        old = replace(old, frame=old.frame + FRAMES_PER_CHUNK * NUM_CHUNKS)
        expected, _ = encoder.forward_chunk(x, young)
        y, _ = encoder.forward_chunk(x, old)
    assert torch.allclose(y, expected, atol=1e-6)
