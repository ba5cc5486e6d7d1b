"""Forward and backward pass over the transducer's lattice as one Triton kernel each.

One program walks over the lattice of one utterance. Its lanes are the columns u, its steps the
anti-diagonals t + u = n, so that lane u is in node (n - u, u). What a node needs from lane u - 1 is
the value which that lane computed one step earlier; it is moved through registers (`tl.gather`, for
which Triton places the barriers itself) and never read back from global memory. Only a lattice
wider than the lanes is cut into stripes of columns, one after the other, and there the first lane
of a stripe does read what the last lane of the stripe before has stored; `tl.debug_barrier` between
two stripes makes those stores visible to the other threads of the program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sb_alexa.losses.triton_support import import_triton

if TYPE_CHECKING:
    import triton
    import triton.language as tl
else:
    triton, tl = import_triton()

# Lanes of a program: with more, the backward pass runs out of registers.
_MAX_LANES = 512


def lattice_forward(
    blank_logp: Tensor, label_logp: Tensor, num_frames: Tensor, num_labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Logarithm of the probability to reach each node.

    Arguments
    ---------
    blank_logp : Tensor
        (B, T, U + 1) nats, of any floating type; the padding may hold anything.
    label_logp : Tensor
        (B, T, U) nats.
    num_frames : Tensor
        (B,) integers in 1..T, not checked.
    num_labels : Tensor
        (B,) integers in 0..U, not checked.

    Returns
    -------
    alpha : Tensor
        (B, T, U + 1) nats, float64; -inf in the padding.
    log_prob : Tensor
        (B,) nats of the labels over all alignments, float64; -inf if there is none.

    Reference
    ---------
    Graves 2012, arXiv 1211.3711, equation 16.
    """
    batch, frames, width = blank_logp.shape
    alpha = torch.full(
        (batch, frames, width), -torch.inf, dtype=torch.float64, device=blank_logp.device
    )
    log_prob = alpha.new_empty(batch)
    with torch.cuda.device_of(alpha):
        _forward_kernel[(batch,)](
            _readable(blank_logp),
            _readable(label_logp),
            _counts(num_frames, alpha),
            _counts(num_labels, alpha),
            alpha,
            log_prob,
            frames,
            width,
            **_launch(width),
        )
    return alpha, log_prob


def lattice_backward(
    blank_logp: Tensor,
    label_logp: Tensor,
    alpha: Tensor,
    log_prob: Tensor,
    num_frames: Tensor,
    num_labels: Tensor,
) -> tuple[Tensor, Tensor]:
    """The posterior probability of every arc.

    Each node hands its occupancy back to its two incoming arcs in proportion to their forward
    probabilities. The two shares add up to one, so nothing is lost over long utterances, where
    alpha + beta - log P cancels.

    Arguments
    ---------
    blank_logp : Tensor
        (B, T, U + 1) nats, as in `lattice_forward`.
    label_logp : Tensor
        (B, T, U) nats.
    alpha : Tensor
        (B, T, U + 1) from `lattice_forward`.
    log_prob : Tensor
        (B,) from `lattice_forward`.
    num_frames : Tensor
        (B,) integers.
    num_labels : Tensor
        (B,) integers.

    Returns
    -------
    blank_occupancy : Tensor
        (B, T, U + 1), float64; 0 in the padding and where no alignment is possible.
    label_occupancy : Tensor
        (B, T, U), float64.
    """
    batch, frames, width = blank_logp.shape
    blank_occupancy = torch.zeros_like(alpha, memory_format=torch.contiguous_format)
    label_occupancy = alpha.new_zeros(batch, frames, width - 1)
    with torch.cuda.device_of(alpha):
        _backward_kernel[(batch,)](
            _readable(blank_logp),
            _readable(label_logp),
            _counts(num_frames, alpha),
            _counts(num_labels, alpha),
            alpha.contiguous(),
            log_prob.contiguous(),
            blank_occupancy,
            label_occupancy,
            frames,
            width,
            **_launch(width),
        )
    return blank_occupancy, label_occupancy


def _readable(arcs: Tensor) -> Tensor:
    """As the kernels read them; 16-bit numbers become float32."""
    return arcs.to(torch.promote_types(arcs.dtype, torch.float32)).contiguous()


def _counts(counts: Tensor, nodes: Tensor) -> Tensor:
    return counts.to(nodes.device, torch.long).contiguous()


def _launch(width: int) -> dict[str, int]:
    """A power of two that holds all columns, or else the largest; every thread has one lane."""
    lanes = min(max(32, 1 << (width - 1).bit_length()), _MAX_LANES)
    return {"LANES": lanes, "num_warps": max(1, lanes // 32)}


@triton.jit
def _arcs_into(blank_ptr, label_ptr, t, u, num_frames, num_labels, width):
    """Blank and label arc into nodes (t, u) in float64, -inf where there is none."""
    is_node = (t >= 0) & (t < num_frames) & (u <= num_labels)
    blank = tl.load(
        blank_ptr + (t - 1) * width + u, mask=is_node & (t > 0), other=float("-inf")
    ).to(tl.float64)
    label = tl.load(
        label_ptr + t * (width - 1) + u - 1, mask=is_node & (u > 0), other=float("-inf")
    ).to(tl.float64)
    return blank, label


# Other sizes of a batch are no reason to compile again.
@triton.jit(do_not_specialize=["frames", "width"])
def _forward_kernel(
    blank_ptr,
    label_ptr,
    num_frames_ptr,
    num_labels_ptr,
    alpha_ptr,
    log_prob_ptr,
    frames,
    width,
    LANES: tl.constexpr,
):
    # All positions are in 64 bit: B * T * (U + 1) may exceed 2^31.
    item = tl.program_id(0).to(tl.int64)
    num_frames = tl.load(num_frames_ptr + item)
    num_labels = tl.load(num_labels_ptr + item)
    blank_ptr += item * frames * width
    label_ptr += item * frames * (width - 1)
    alpha_ptr += item * frames * width
    last_blank = tl.load(blank_ptr + (num_frames - 1) * width + num_labels).to(tl.float64)
    lane = tl.arange(0, LANES)
    left_lane = tl.maximum(lane - 1, 0)
    for first in range(0, num_labels + 1, LANES):
        u = first + lane.to(tl.int64)
        node = tl.full([LANES], float("-inf"), tl.float64)
        # Arcs are loaded a step ahead: they do not depend on the recursion, which need not wait.
        blank, label = _arcs_into(blank_ptr, label_ptr, first - u, u, num_frames, num_labels, width)
        for n in range(first, num_frames + tl.minimum(first + LANES - 1, num_labels)):
            t = n - u
            next_blank, next_label = _arcs_into(
                blank_ptr, label_ptr, t + 1, u, num_frames, num_labels, width
            )
            is_node = (t >= 0) & (t < num_frames) & (u <= num_labels)
            beside = tl.load(
                alpha_ptr + t * width + u - 1,
                mask=is_node & (lane == 0) & (first > 0),
                other=float("-inf"),
            )
            left = tl.where(lane == 0, beside, tl.gather(node, left_lane, 0))
            by_blank, by_label = node + blank, left + label
            # In this form a NaN of the input reaches the loss instead of being lost in a maximum.
            high = tl.where(by_blank > by_label, by_blank, by_label)
            low = tl.where(by_blank > by_label, by_label, by_blank)
            is_single = low == float("-inf")
            difference = tl.where(is_single, 0.0, low) - tl.where(is_single, 0.0, high)
            node = tl.where(is_single, high, high + tl.log(1.0 + tl.exp(difference)))
            node = tl.where((t == 0) & (u == 0), 0.0, node)
            tl.store(alpha_ptr + t * width + u, node, mask=is_node)
            blank, label = next_blank, next_label
        # The last step of the last stripe has reached the last node.
        tl.store(log_prob_ptr + item + lane * 0, node + last_blank, mask=u == num_labels)
        tl.debug_barrier()


@triton.jit
def _shares_into(blank_ptr, label_ptr, alpha_ptr, t, u, num_frames, num_labels, width):
    """Shares of blank and label arc among the paths into nodes (t, u); both 0 outside."""
    blank, label = _arcs_into(blank_ptr, label_ptr, t, u, num_frames, num_labels, width)
    is_node = (t >= 0) & (t < num_frames) & (u <= num_labels)
    by_blank = blank + tl.load(
        alpha_ptr + (t - 1) * width + u, mask=is_node & (t > 0), other=float("-inf")
    )
    by_label = label + tl.load(
        alpha_ptr + t * width + u - 1, mask=is_node & (u > 0), other=float("-inf")
    )
    blank_is_larger = by_blank > by_label
    high = tl.where(blank_is_larger, by_blank, by_label)
    low = tl.where(blank_is_larger, by_label, by_blank)
    is_reached = high != float("-inf")
    ratio = tl.exp(tl.where(is_reached, low - tl.where(is_reached, high, 0.0), float("-inf")))
    larger = tl.where(is_reached, 1.0 / (1.0 + ratio), 0.0)
    smaller = ratio * larger
    return tl.where(blank_is_larger, larger, smaller), tl.where(blank_is_larger, smaller, larger)


@triton.jit(do_not_specialize=["frames", "width"])
def _backward_kernel(
    blank_ptr,
    label_ptr,
    num_frames_ptr,
    num_labels_ptr,
    alpha_ptr,
    log_prob_ptr,
    blank_occupancy_ptr,
    label_occupancy_ptr,
    frames,
    width,
    LANES: tl.constexpr,
):
    item = tl.program_id(0).to(tl.int64)
    if tl.load(log_prob_ptr + item) == float("-inf"):
        return
    num_frames = tl.load(num_frames_ptr + item)
    num_labels = tl.load(num_labels_ptr + item)
    blank_ptr += item * frames * width
    label_ptr += item * frames * (width - 1)
    alpha_ptr += item * frames * width
    blank_occupancy_ptr += item * frames * width
    label_occupancy_ptr += item * frames * (width - 1)
    # All alignments end with this arc.
    tl.store(blank_occupancy_ptr + (num_frames - 1) * width + num_labels, 1.0)
    lane = tl.arange(0, LANES)
    right_lane = tl.minimum(lane + 1, LANES - 1)
    last_stripe = num_labels // LANES
    for stripe in range(0, last_stripe + 1):
        first = (last_stripe - stripe) * LANES
        u = first + lane.to(tl.int64)
        end = num_frames + tl.minimum(first + LANES - 1, num_labels)
        # What the nodes have just handed to their two incoming arcs. At first only the last node
        # has anything.
        to_blank = tl.where(u == num_labels, 1.0, 0.0).to(tl.float64)
        to_label = tl.zeros([LANES], tl.float64)
        blank_share, label_share = _shares_into(
            blank_ptr, label_ptr, alpha_ptr, end - 1 - u, u, num_frames, num_labels, width
        )
        for step in range(0, end - first):
            t = end - 1 - step - u
            next_blank_share, next_label_share = _shares_into(
                blank_ptr, label_ptr, alpha_ptr, t - 1, u, num_frames, num_labels, width
            )
            is_node = (t >= 0) & (t < num_frames) & (u <= num_labels)
            beside = tl.load(
                label_occupancy_ptr + t * (width - 1) + u,
                mask=is_node & (lane == LANES - 1) & (u < num_labels),
                other=0.0,
            )
            from_right = tl.gather(to_label, right_lane, 0)
            occupancy = to_blank + tl.where(lane == LANES - 1, beside, from_right)
            to_blank = occupancy * blank_share
            to_label = occupancy * label_share
            tl.store(blank_occupancy_ptr + (t - 1) * width + u, to_blank, mask=is_node & (t > 0))
            tl.store(
                label_occupancy_ptr + t * (width - 1) + u - 1, to_label, mask=is_node & (u > 0)
            )
            blank_share, label_share = next_blank_share, next_label_share
        tl.debug_barrier()
