"""What the transducer losses ask of a joiner."""

from __future__ import annotations

from typing import Protocol, TypeGuard

from torch import Tensor, nn

from sb_alexa.losses.joint_activation import Activation, is_altered
from sb_alexa.nn.additive_joint import AdditiveJoint


class JoinerLike(Protocol):
    """Encoder frame and label history to logits; `sb_alexa.transducer.joiner.Joiner` is one."""

    @property
    def num_labels(self) -> int: ...

    def project_encoder(self, encoder_out: Tensor) -> Tensor: ...

    def project_predictor(self, predictor_out: Tensor) -> Tensor: ...

    def __call__(self, encoder_part: Tensor, predictor_part: Tensor) -> Tensor: ...


def is_additive(joiner: object) -> TypeGuard[AdditiveJoint]:
    """Whether a joiner has the form that can be differentiated without autograd.

    Arguments
    ---------
    joiner : object
        Any joiner.

    Returns
    -------
    bool
        True for an `AdditiveJoint` with its own `forward`, an activation that `Activation` knows
        and a plain linear output; hooks and parametrizations need autograd.

    Example
    -------
    >>> is_additive(AdditiveJoint(nn.Tanh(), nn.Linear(4, 5)))
    True
    >>> is_additive(AdditiveJoint(nn.PReLU(), nn.Linear(4, 5)))
    False
    """
    if not isinstance(joiner, AdditiveJoint) or type(joiner).forward is not AdditiveJoint.forward:
        return False
    is_plain = type(joiner.output) is nn.Linear and Activation.is_known(joiner.activation)
    return is_plain and not is_altered(joiner) and not is_altered(joiner.output)
