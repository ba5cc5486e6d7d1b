from __future__ import annotations

from sb_alexa.bench.audio import EndlessAudio
from sb_alexa.bench.long_stream import state_kib, stream_for_hours
from sb_alexa.bench.recogniser import Recogniser


def test_state_does_not_grow(tiny: Recogniser) -> None:
    result = stream_for_hours(tiny, EndlessAudio.noise(), hours=3 / 60)
    assert len(result.chunk_ms_p50) == 3
    assert len(set(result.state_kib)) == 1
    assert result.figures["long_stream_minutes"] == 3
    # A minute allocates 400 chunks of 9.6 kB: keeping them would show as 3.7 MiB each.
    assert result.resident_growth_mib < 4.0


def test_size_counts_what_a_view_keeps_alive(tiny: Recogniser) -> None:
    state = tiny.initial_state(1)
    whole = EndlessAudio.noise(1_000_000).samples
    samples = tiny.features.forward_chunk(whole[None, :480], state.features)
    assert state_kib(samples[1]) < 10
    assert state_kib((whole[:240],)) > 3900
