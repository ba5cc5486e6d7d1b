"""What must hold for the ConvRNN-T encoder beyond the contract of streaming modules."""

from __future__ import annotations

import copy
import time
from statistics import median
from typing import Any

import pytest
import torch

from sb_alexa.encoders.conv_rnnt import ConvRNNTEncoder
from sb_alexa.encoders.local_cnn import LocalCNN
from sb_alexa.lengths import relative_lengths
from sb_alexa.nn.feature_normalization import GlobalNormalization
from sb_alexa.nn.frame_stacking import FrameStacking
from sb_alexa.nn.log_mel import LogMel
from sb_alexa.streaming.sequential import StreamingSequential
from sb_alexa.streaming.state import named_tensors

SMALL: dict[str, Any] = {
    "input_size": 24,
    "local_channels": (4, 4),
    "local_kernel_size": 3,
    "stack_as_channels": 3,
    "local_frequency_strides": (2, 1),
    "global_dilations": (2, 4),
    "reduction_ratio": 4,
    "num_layers": 2,
    "hidden_size": 16,
    "projection_size": 12,
}


def _meta(**arguments: Any) -> ConvRNNTEncoder:
    with torch.device("meta"):
        return ConvRNNTEncoder(**arguments)


def test_parity_configuration_counts_the_parameters_of_the_paper() -> None:
    counts = _meta(depthwise=False, reduction_ratio=1).parameter_counts()
    convolutions = counts["local"] + counts["global"] + counts["fusing"]
    assert counts["local"] == pytest.approx(2.875e6, rel=0.01)
    assert counts["global"] == pytest.approx(2.447e6, rel=0.01)
    assert counts["fusing"] == pytest.approx(0.074e6, rel=0.01)
    assert convolutions == pytest.approx(5.40e6, rel=0.01)
    assert counts["lstm"] == pytest.approx(18.93e6, rel=0.01)


def test_counts_cover_every_parameter() -> None:
    for arguments in ({}, {"use_local": False}, {"use_global": False}):
        encoder = _meta(**arguments)
        total = sum(parameter.numel() for parameter in encoder.parameters())
        assert sum(encoder.parameter_counts().values()) == total
    assert _meta(use_local=False).parameter_counts()["local"] == 0
    assert _meta(use_global=False).parameter_counts()["fusing"] == 0


def test_depthwise_global_part_is_cheaper() -> None:
    assert _meta(reduction_ratio=1).parameter_counts()["global"] == pytest.approx(1.13e6, rel=0.01)
    assert _meta().parameter_counts()["global"] < 0.75e6


def _from_waveform(dtype: torch.dtype) -> StreamingSequential:
    """Paper size in width and kernels, from samples, with fewer layers to be quick."""
    torch.manual_seed(0)
    return (
        StreamingSequential(
            LogMel(n_mels=64),
            GlobalNormalization(num_features=64),
            FrameStacking(num_features=64, num_frames=3),
            ConvRNNTEncoder(local_channels=(16, 16), num_layers=2, hidden_size=96),
        )
        .to(dtype)
        .eval()
    )


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-5), (torch.float64, 1e-10)],
    ids=["single", "double"],
)
def test_random_cuttings_of_the_waveform_give_the_same_output(
    dtype: torch.dtype, tolerance: float
) -> None:
    model = _from_waveform(dtype)
    wav = 0.1 * torch.randn(2, 31 * 480 + 77, dtype=dtype)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        whole = model(wav)
        padded = torch.cat([wav, wav.new_zeros(2, model.geometry.padding(wav.shape[1]))], dim=1)
        for _ in range(3):
            state, outputs, start = model.initial_state(2), [], 0
            while start < padded.shape[1]:
                steps = 480 * int(torch.randint(0, 9, (), generator=generator))
                y, state = model.forward_chunk(padded[:, start : start + steps], state)
                outputs.append(y)
                start += steps
            assert (torch.cat(outputs, dim=1) - whole).abs().max() <= tolerance


def test_batch_of_unequal_lengths_equals_each_alone_in_single_precision() -> None:
    model = _from_waveform(torch.float32)
    lengths = torch.tensor([12_000, 4_321, 480])
    wavs = 0.1 * torch.randn(3, 12_000)
    with torch.no_grad():
        batch = model(wavs, relative_lengths(lengths, 12_000))
        for row, length in enumerate(lengths.tolist()):
            alone = model(wavs[row : row + 1, :length])
            assert (batch[row, : alone.shape[1]] - alone[0]).abs().max() <= 1e-5


def test_padding_does_not_reach_the_training_pass() -> None:
    """Batch normalisation in training is the one place where a causal model could see padding."""
    torch.manual_seed(0)
    short = ConvRNNTEncoder(**SMALL, dropout=0.0).double().train()
    long = copy.deepcopy(short)
    num_steps = torch.tensor([9, 5])
    x = torch.randn(2, 9, 24, dtype=torch.float64)
    more = torch.cat([x, torch.full((2, 6, 24), 50.0, dtype=torch.float64)], dim=1)
    y, z = short.forward_counted(x, num_steps), long.forward_counted(more, num_steps)
    assert torch.allclose(y, z[:, :9], atol=1e-12)
    y.square().sum().backward()
    z.square().sum().backward()
    for ours, theirs in zip(short.parameters(), long.parameters(), strict=True):
        assert ours.grad is not None and theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-10)
    for name, buffer in short.named_buffers():
        assert torch.allclose(buffer, dict(long.named_buffers())[name], atol=1e-12), name


def test_one_hour_in_constant_memory_and_time() -> None:
    torch.manual_seed(0)
    encoder = ConvRNNTEncoder(**SMALL).eval()
    frames_per_chunk, num_chunks = 100, 1200  # 1200 x 100 x 30 ms = 1 h
    state = encoder.initial_state(1)
    sizes, seconds = set(), []
    with torch.inference_mode():
        for _ in range(num_chunks):
            x = torch.randn(1, frames_per_chunk, 24)
            begin = time.perf_counter()
            y, state = encoder.forward_chunk(x, state)
            seconds.append(time.perf_counter() - begin)
            sizes.add(sum(tensor.untyped_storage().nbytes() for _, tensor in named_tensors(state)))
    assert bool(y.isfinite().all())
    assert len(sizes) == 1
    assert median(seconds[-300:]) < 2 * median(seconds[50:350])


def test_every_part_learns() -> None:
    encoder = ConvRNNTEncoder(**SMALL).train()
    encoder.forward_counted(torch.randn(2, 20, 24), torch.tensor([20, 11])).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.any()), name


def test_time_stride_lowers_the_frame_rate() -> None:
    encoder = ConvRNNTEncoder(**SMALL, time_stride=2)
    assert encoder.geometry.hop == 2
    assert encoder(torch.randn(1, 7, 24)).shape == (1, 4, 12)


def test_stacked_frames_as_channels() -> None:
    """Bin f of channel n is feature f of the n-th stacked frame."""
    local = LocalCNN(input_size=6, channels=(1,), kernel_size=1, stack_as_channels=3)
    conv = local._convs_in_order()[0].conv
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([1.0, 10.0, 100.0]).view(1, 3, 1, 1))
        local.output.weight.copy_(torch.eye(6, 2))
        y = local(torch.tensor([[[1.0, 2, 3, 4, 5, 6]]]))
    assert y[0, 0, :2].tolist() == [1 + 30 + 500, 2 + 40 + 600]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"use_local": False, "use_global": False}, "for no convolutions use LSTMEncoder"),
        ({"use_local": False, "front_end_size": 64}, "front_end_size must be input_size=192"),
        ({"local_frequency_strides": (2, 2)}, "give each convolution a channel number and"),
        ({"stack_as_channels": 5}, "stack_as_channels must divide input_size=192, got 5"),
        ({"global_dilations": ()}, "dilations must name at least one block"),
        ({"time_stride": 0}, "must be >= 1"),
        ({"local_kernel_size": 4}, "kernel_size must be odd"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _meta(**arguments)
