from __future__ import annotations

import sys

import pytest
import torch

from sb_alexa.bench.memory import peak_memory_gib, reset_peak_memory, resident_memory_mib

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
def test_resident_memory_follows_an_allocation() -> None:
    before = resident_memory_mib()
    block = torch.ones(64 * 2**20, dtype=torch.uint8)
    assert 60 < resident_memory_mib() - before < 80
    del block


@linux
def test_peak_remembers_what_was_freed_and_can_be_reset() -> None:
    reset_peak_memory("cpu")
    resident_gib = resident_memory_mib() / 1024
    block = torch.ones(256 * 2**20, dtype=torch.uint8)
    del block
    peak = peak_memory_gib("cpu")
    assert peak is not None and 0.2 < peak - resident_gib < 0.3
    reset_peak_memory("cpu")
    after = peak_memory_gib("cpu")
    assert after is not None and after < peak - 0.2
