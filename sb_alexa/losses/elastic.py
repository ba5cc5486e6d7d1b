"""A pull towards the weights that a fine-tuning starts from, stronger where they matter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor


class ElasticPenalty:
    """Elastic weight consolidation: (lambda / 2) sum_i F_i (theta_i - theta*_i)^2.

    theta* are the weights of the start and F is the diagonal Fisher information there, divided by
    its mean over the elements that take part: lambda means the same for every model and every unit
    of the loss that F was estimated from. Without F, all weights are held alike (L2 to the start).
    Buffers, such as the running statistics of BatchNorm, are not parameters and are never held.

    Arguments
    ---------
    start : mapping of str to Tensor
        theta* by name of the parameter, floating point, on the device of the training; copied.
        Names that are not in it are free.
    fisher : mapping of str to Tensor | None
        F by the same names, of the same shapes, not negative, on any device; names beyond those of
        `start` are ignored. None is F = 1.
    weight : float
        lambda, in the unit of the loss. With 0 nothing is added, see `add_to`.
    parts : sequence of str | None
        Modules whose parameters are held, such as ``[encoder, predictor]``; ``encoder.lstm`` is a
        part too. None holds all.

    Raises
    ------
    ValueError
        If lambda is negative or not finite, a part has no parameter, or `fisher` does not fit.

    Reference
    ---------
    Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017, arXiv
    1612.00796, equation 3. For speech recognition of regions: Trinh et al., "Reducing geographic
    disparities in automatic speech recognition via elastic weight consolidation", Interspeech 2022,
    arXiv 2207.07850, whose full text was not available to us. Ours: F of mean 1, and the parts.

    Example
    -------
    >>> start = {"encoder.weight": torch.zeros(2), "joiner.bias": torch.zeros(1)}
    >>> fisher = {"encoder.weight": torch.tensor([2.0, 6.0]), "joiner.bias": torch.ones(1)}
    >>> penalty = ElasticPenalty(start, fisher, weight=3.0, parts=["encoder"])
    >>> penalty.fisher
    {'encoder.weight': tensor([0.5000, 1.5000])}
    >>> penalty({"encoder.weight": torch.tensor([1.0, 2.0]), "joiner.bias": torch.ones(1)})
    tensor(9.7500)
    """

    start: dict[str, Tensor]
    fisher: dict[str, Tensor] | None

    def __init__(
        self,
        start: Mapping[str, Tensor],
        fisher: Mapping[str, Tensor] | None = None,
        *,
        weight: float,
        parts: Sequence[str] | None = None,
    ) -> None:
        if not 0 <= weight < float("inf"):
            raise ValueError(
                f"the elastic weight (lambda) must be >= 0 and finite, got {weight}; 0 is plain "
                "fine-tuning"
            )
        names = list(start) if parts is None else names_of_parts(start, parts)
        if not names:
            raise ValueError("there are no weights to hold; give those of the trained model")
        self.weight = weight
        self.start = {name: start[name].detach().clone() for name in names}
        for name, tensor in self.start.items():
            if not tensor.is_floating_point():
                raise ValueError(
                    f"{name} holds {tensor.dtype}; give parameters only, buffers are not held"
                )
        self.fisher = None if fisher is None else _of_mean_one(fisher, self.start)

    def __call__(self, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]) -> Tensor:
        """The penalty.

        Arguments
        ---------
        parameters : mapping of str to Tensor | iterable of (str, Tensor)
            theta, such as ``module.named_parameters()``; all names of `start`, others are ignored.

        Returns
        -------
        Tensor
            Scalar, in the unit of the loss; differentiable.

        Raises
        ------
        ValueError
            If a parameter is missing or has another shape than at the start.
        """
        current = dict(parameters)
        missing = [name for name in self.start if name not in current]
        if missing:
            raise ValueError(
                f"{len(missing)} parameters that the start has are missing: {missing[:5]}; give "
                "the parameters of the same model"
            )
        terms = []
        for name, start in self.start.items():
            _check_shape(name, "now", current[name], start)
            squared = (current[name] - start).square()
            terms.append((squared if self.fisher is None else self.fisher[name] * squared).sum())
        return 0.5 * self.weight * torch.stack(terms).sum()

    def add_to(
        self, loss: Tensor, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]
    ) -> Tensor:
        """The loss with the penalty; with lambda = 0 the loss itself.

        A penalty of 0 that is added would still give every parameter a gradient of 0 where it had
        none, and optimizers with momentum or weight decay treat the two differently.

        Arguments
        ---------
        loss : Tensor
            Scalar.
        parameters : mapping of str to Tensor | iterable of (str, Tensor)
            As for a call.

        Returns
        -------
        Tensor
            Scalar.

        Example
        -------
        >>> penalty = ElasticPenalty({"w": torch.zeros(1)}, weight=0.0)
        >>> loss = torch.tensor(2.0)
        >>> penalty.add_to(loss, {"w": torch.ones(1)}) is loss
        True
        """
        return loss if self.weight == 0 else loss + self(parameters)


def names_of_parts(names: Iterable[str], parts: Sequence[str]) -> list[str]:
    """The names that lie in some parts of a model.

    Arguments
    ---------
    names : iterable of str
        Of parameters, with dots between the modules they lie in.
    parts : sequence of str
        Names of modules or of single parameters.

    Returns
    -------
    list of str
        In the order of `names`.

    Raises
    ------
    ValueError
        If a part has none of the names.

    Example
    -------
    >>> names_of_parts(["encoder.lstm.weight", "encoder2.bias", "joiner.bias"], ["encoder"])
    ['encoder.lstm.weight']
    """
    if isinstance(parts, str):
        raise ValueError(f"parts is a list of names; write [{parts}]")
    names = list(names)
    chosen: set[str] = set()
    for part in parts:
        found = {name for name in names if name == part or name.startswith(f"{part}.")}
        if not found:
            there = ", ".join(dict.fromkeys(name.split(".")[0] for name in names))
            raise ValueError(f"the model has no parameters in the part {part!r}; it has: {there}")
        chosen |= found
    return [name for name in names if name in chosen]


def _of_mean_one(fisher: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """F of the parameters of `start`, divided by its mean over all their elements."""
    missing = [name for name in start if name not in fisher]
    if missing:
        raise ValueError(
            f"the Fisher information lacks {len(missing)} of {len(start)} parameters: "
            f"{missing[:5]}; estimate it with the model that the training starts from"
        )
    total, count = 0.0, 0
    for name, tensor in start.items():
        _check_shape(name, "in the Fisher information", fisher[name], tensor)
        if not bool((fisher[name] >= 0).all() & fisher[name].isfinite().all()):
            raise ValueError(
                f"the Fisher information of {name} is negative or not finite somewhere; it is a "
                "mean of squares: estimate it anew"
            )
        total += float(fisher[name].double().sum())
        count += tensor.numel()
    if total == 0:
        raise ValueError(
            "the Fisher information is 0 everywhere: the loss did not depend on these parameters; "
            "name parts that it depends on, or leave the Fisher information away for an L2 penalty"
        )
    mean = total / count
    return {n: (fisher[n].detach().double() / mean).to(t) for n, t in start.items()}


def _check_shape(name: str, where: str, found: Tensor, start: Tensor) -> None:
    if found.shape != start.shape:
        raise ValueError(
            f"{name} has shape {tuple(found.shape)} {where} and {tuple(start.shape)} at the start; "
            "take all of them from the same model"
        )
