from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from sb_alexa.bench.extra_memory import with_memory_use

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def _block(mib: int) -> Tensor:
    return torch.ones(mib * 2**18)  # float32


def _freed(mib: int) -> None:
    _block(mib)


@linux
@pytest.mark.parametrize("mib", [5, 50, 200])
def test_known_allocation(mib: int) -> None:
    # glibc keeps freed blocks of up to 32 MiB from here on.
    _freed(31)
    for _ in range(3):
        use = with_memory_use(lambda: _freed(mib), "cpu")[1]
        assert use is not None
        assert use.extra_mib == pytest.approx(mib, abs=1.0)


@linux
def test_freed_memory_is_not_reused_unseen() -> None:
    """Small blocks stay in the heap when they are freed, also below others that are in use."""
    blocks = [torch.ones(2**14) for _ in range(640)]  # 40 MiB in blocks of 64 KiB
    pinned = torch.ones(2**14)
    del blocks
    use = with_memory_use(lambda: [torch.ones(2**14) for _ in range(320)], "cpu")[1]
    assert use is not None
    assert use.extra_mib == pytest.approx(20, abs=1.5)
    assert pinned.sum() == 2**14


@linux
def test_what_is_in_use_before_does_not_count() -> None:
    kept = _block(100)
    use = with_memory_use(lambda: _freed(20), "cpu")[1]
    assert use is not None
    assert use.extra_mib == pytest.approx(20, abs=1.0)
    assert use.level_mib > 100 and kept.sum() == 100 * 2**18


@linux
def test_result_counts_and_is_returned() -> None:
    result, use = with_memory_use(lambda: _block(20), "cpu")
    assert result.numel() == 20 * 2**18
    assert use is not None and use.extra_mib == pytest.approx(20, abs=1.0)


def test_unknown_where_the_peak_cannot_be_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peak of earlier times would be taken for that of the computation."""
    monkeypatch.setattr("sb_alexa.bench.extra_memory.reset_peak_memory", lambda device: None)
    monkeypatch.setattr("sb_alexa.bench.extra_memory.peak_memory_gib", lambda device: 1e3)
    assert with_memory_use(lambda: None, "cpu")[1] is None
    monkeypatch.setattr("sb_alexa.bench.extra_memory.peak_memory_gib", lambda device: None)
    assert with_memory_use(lambda: None, "cpu")[1] is None
