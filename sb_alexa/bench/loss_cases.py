"""Sizes and tensors of `sb-alexa bench loss`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sb_alexa.transducer.joiner import Joiner

JOINT_SIZE = 512
MIN_LENGTH_SHARE = 0.5


@dataclass(frozen=True)
class LossSize:
    """Size of a batch.

    Arguments
    ---------
    batch_size, num_frames, num_labels, vocabulary_size : int
        B, T, U and V, blank included.
    joint_size : int
        What the joiner's activation has.

    Example
    -------
    >>> size = LossSize(8, 200, 40, 500)
    >>> print(size, size.num_logits)
    B 8, T 200, U 40, V 500 32800000
    """

    batch_size: int
    num_frames: int
    num_labels: int
    vocabulary_size: int
    joint_size: int = JOINT_SIZE

    @property
    def num_logits(self) -> int:
        """B * T * (U + 1) * V, padding included."""
        return self.num_padded_cells * self.vocabulary_size

    @property
    def num_padded_cells(self) -> int:
        """B * T * (U + 1)."""
        return self.batch_size * self.num_frames * (self.num_labels + 1)

    def miniature(self) -> LossSize:
        """A fraction of the work with the same kernels, to load them."""
        return replace(
            self,
            batch_size=min(2, self.batch_size),
            num_frames=max(2, self.num_frames // 10),
            num_labels=max(1, self.num_labels // 10),
        )

    def __str__(self) -> str:
        return (
            f"B {self.batch_size}, T {self.num_frames}, U {self.num_labels}, "
            f"V {self.vocabulary_size}"
        )


@dataclass
class LossTensors(ABC):
    """What every transducer loss is given.

    Arguments
    ---------
    targets : Tensor
        (B, U) labels, the blank being 0.
    num_frames, num_labels : Tensor
        (B,) lengths; the longest are T and U, as torchaudio demands.
    """

    targets: Tensor
    num_frames: Tensor
    num_labels: Tensor

    @property
    @abstractmethod
    def leaves(self) -> list[Tensor]:
        """What the gradient is taken of."""

    @property
    @abstractmethod
    def size(self) -> LossSize:
        """Size with padding."""

    @abstractmethod
    def double(self) -> LossTensors:
        """A copy in float64."""

    @property
    def device(self) -> str:
        """Where the tensors are."""
        return str(self.leaves[0].device)

    @property
    def num_cells(self) -> int:
        """Cells of the lattices without the padding."""
        return int((self.num_frames * (self.num_labels + 1)).sum())

    def take_gradients(self) -> list[Tensor]:
        """The gradients of the last backward pass, which the leaves then no longer hold."""
        gradients = []
        for leaf in self.leaves:
            gradients.append(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)
            leaf.grad = None
        return gradients


@dataclass
class JointTensors(LossTensors):
    """Outputs of encoder and predictor, and the joiner.

    Arguments
    ---------
    encoder_out : Tensor
        (B, T, C).
    predictor_out : Tensor
        (B, U + 1, C).
    joiner : Joiner
        Gives the logits.
    """

    encoder_out: Tensor
    predictor_out: Tensor
    joiner: Joiner

    @property
    def leaves(self) -> list[Tensor]:
        return [self.encoder_out, self.predictor_out, *self.joiner.parameters()]

    @property
    def size(self) -> LossSize:
        batch, frames = self.encoder_out.shape[:2]
        output = self.joiner.output
        return LossSize(
            batch, frames, self.targets.shape[1], output.out_features, output.in_features
        )

    def double(self) -> JointTensors:
        return replace(
            self,
            encoder_out=self.encoder_out.detach().double().requires_grad_(),
            predictor_out=self.predictor_out.detach().double().requires_grad_(),
            joiner=deepcopy(self.joiner).double(),
        )

    def logits(self) -> Tensor:
        """(B, T, U + 1, V), the plain joint: all cells, padding included."""
        encoder_part = self.joiner.project_encoder(self.encoder_out)
        predictor_part = self.joiner.project_predictor(self.predictor_out)
        return self.joiner(encoder_part[:, :, None], predictor_part[:, None])


@dataclass
class LogitsTensors(LossTensors):
    """Ready logits.

    Arguments
    ---------
    logits : Tensor
        (B, T, U + 1, V).
    """

    logits: Tensor

    @property
    def leaves(self) -> list[Tensor]:
        return [self.logits]

    @property
    def size(self) -> LossSize:
        batch, frames, width, vocabulary = self.logits.shape
        return LossSize(batch, frames, width - 1, vocabulary)

    def double(self) -> LogitsTensors:
        return replace(self, logits=self.logits.detach().double().requires_grad_())


def random_tensors(
    size: LossSize,
    *,
    min_length_share: float = MIN_LENGTH_SHARE,
    seed: int = 0,
    device: str = "cpu",
) -> JointTensors:
    """Noise and a joiner with random weights.

    Arguments
    ---------
    size : LossSize
        Size with padding.
    min_length_share : float
        Lengths are uniform between this share and the whole of T and of U.
    seed : int
        The same seed gives the same tensors.
    device : str
        Where to put them.

    Returns
    -------
    JointTensors
        Leaves that record gradients.

    Example
    -------
    >>> tensors = random_tensors(LossSize(4, 10, 6, 5, joint_size=3))
    >>> tensors.logits().shape, int(tensors.num_frames.max()), int(tensors.num_labels.max())
    (torch.Size([4, 10, 7, 5]), 10, 6)
    """
    batch, width = size.batch_size, size.joint_size
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        joiner = Joiner(
            encoder_size=width, predictor_size=width, num_labels=size.vocabulary_size
        ).to(device)

    def lengths(longest: int) -> Tensor:
        # Evenly spread and only their order random: the share of padding then hardly depends on
        # the seed.
        share = 1.0 - torch.linspace(0.0, 1.0 - min_length_share, batch)
        share = share[torch.randperm(batch, generator=generator)]
        return (share * longest).round().long().to(device)

    def noise(length: int) -> Tensor:
        values = torch.randn(batch, length, width, generator=generator)
        return values.to(device).requires_grad_()

    shape = (batch, size.num_labels)
    return JointTensors(
        targets=torch.randint(1, size.vocabulary_size, shape, generator=generator).to(device),
        num_frames=lengths(size.num_frames),
        num_labels=lengths(size.num_labels),
        encoder_out=noise(size.num_frames),
        predictor_out=noise(size.num_labels + 1),
        joiner=joiner,
    )


def logits_tensors(tensors: JointTensors) -> LogitsTensors:
    """The same problem with the logits computed beforehand."""
    with torch.no_grad():
        logits = tensors.logits()
    return LogitsTensors(
        tensors.targets, tensors.num_frames, tensors.num_labels, logits.requires_grad_()
    )
