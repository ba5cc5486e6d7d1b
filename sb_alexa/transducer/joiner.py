"""The joiner of a transducer: encoder frame and label history to logits."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from sb_alexa.nn.additive_joint import AdditiveJoint


class Joiner(AdditiveJoint):
    """Add the two sides, apply an activation, map to the labels.

    Arguments
    ---------
    encoder_size : int
        Features of an encoder frame.
    predictor_size : int
        Features of a predictor output.
    num_labels : int
        V, blank included.
    joint_size : int | None
        Both sides are first projected to this size; None adds them as they are, so that their sizes
        must agree.
    activation : Callable
        Makes the activation module, for example ``torch.nn.Tanh``.

    Shape
    -----
    encoder_part : (..., J), from `project_encoder`
    predictor_part : (..., J), from `project_predictor`; broadcast against the encoder's
    output : (..., V) logits

    Raises
    ------
    ValueError
        If a size is not positive, or the sides differ without a `joint_size`.

    Reference
    ---------
    Radfar et al. 2022 (ConvRNN-T), arXiv 2209.14868: add, tanh, linear, without projections. Graves
    et al. 2013, arXiv 1303.5778, equations 15-18, with projections.

    Example
    -------
    >>> import torch
    >>> joiner = Joiner(encoder_size=8, predictor_size=6, num_labels=5, joint_size=4)
    >>> frames, histories = torch.zeros(2, 7, 1, 8), torch.zeros(2, 1, 3, 6)
    >>> joiner(joiner.project_encoder(frames), joiner.project_predictor(histories)).shape
    torch.Size([2, 7, 3, 5])
    """

    def __init__(
        self,
        *,
        encoder_size: int,
        predictor_size: int,
        num_labels: int,
        joint_size: int | None = None,
        activation: Callable[[], nn.Module] = nn.Tanh,
    ) -> None:
        sizes = [encoder_size, predictor_size, joint_size or encoder_size]
        if min(sizes) < 1 or joint_size == 0 or num_labels < 2:
            raise ValueError(
                "a joiner needs positive sizes and num_labels >= 2 (blank included), got "
                f"encoder_size={encoder_size}, predictor_size={predictor_size}, "
                f"joint_size={joint_size}, num_labels={num_labels}"
            )
        if joint_size is None and encoder_size != predictor_size:
            raise ValueError(
                f"encoder_size {encoder_size} and predictor_size {predictor_size} differ and "
                "cannot be added; give a joint_size, to which both are projected"
            )
        encoder_projection: nn.Module = nn.Identity()
        predictor_projection: nn.Module = nn.Identity()
        if joint_size is not None:
            encoder_projection = nn.Linear(encoder_size, joint_size)
            # One bias is enough for the sum.
            predictor_projection = nn.Linear(predictor_size, joint_size, bias=False)
        super().__init__(activation(), nn.Linear(sizes[2], num_labels))
        self.num_labels = num_labels
        self.encoder_projection = encoder_projection
        self.predictor_projection = predictor_projection

    def project_encoder(self, encoder_out: Tensor) -> Tensor:
        """(..., encoder_size) to (..., J), once for each frame."""
        return self.encoder_projection(encoder_out)

    def project_predictor(self, predictor_out: Tensor) -> Tensor:
        """(..., predictor_size) to (..., J), once for each history."""
        return self.predictor_projection(predictor_out)
