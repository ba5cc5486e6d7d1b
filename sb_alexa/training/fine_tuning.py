"""What a fine-tuning holds on to: a pull towards its start, modules that do not change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from sb_alexa.losses.elastic import ElasticPenalty
from sb_alexa.training.evaluation_mode import evaluate_with_gradients


@dataclass(frozen=True)
class ElasticConsolidation:
    """How strongly a fine-tuning is pulled to the weights it starts from; a recipe's `elastic`.

    Arguments
    ---------
    weight : float
        lambda of `sb_alexa.losses.elastic.ElasticPenalty`, in nats per utterance; 0 is plain
        fine-tuning.
    use_fisher : bool
        False holds all weights alike: L2 to the start.
    parts : sequence of str | None
        Modules that are held, such as ``[encoder]``; None for all.
    fisher_file : str | None
        Fisher information of the start; None takes ``fisher.safetensors`` beside the pretrained
        model. It is estimated and written there where it is missing.
    fisher_utterances : int | None
        Training utterances that it is estimated from; None for all.

    Raises
    ------
    ValueError
        If lambda is negative or a number of utterances is not positive.

    Example
    -------
    >>> ElasticConsolidation(weight=100.0, parts=["encoder", "predictor"]).fisher_utterances
    2000
    """

    weight: float
    use_fisher: bool = True
    parts: Sequence[str] | None = None
    fisher_file: str | None = None
    fisher_utterances: int | None = 2000

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise ValueError(
                f"elastic: weight (lambda) must be >= 0 and finite, got {self.weight}; 0 is plain "
                "fine-tuning"
            )
        if self.fisher_utterances is not None and self.fisher_utterances < 1:
            raise ValueError(
                f"elastic: fisher_utterances must be >= 1 or null, got {self.fisher_utterances}"
            )

    def fisher_path(self, pretrained_folder: str | Path) -> Path:
        """Where the Fisher information lies."""
        return Path(self.fisher_file or Path(pretrained_folder) / "fisher.safetensors")


class FineTuning:
    """The state of a fine-tuning while an `Experiment` trains.

    Arguments
    ---------
    penalty : ElasticPenalty | None
        Added to every training loss.
    frozen : sequence of Module
        Their parameters get no gradients; BatchNorm and dropout in them are as in evaluation.

    Example
    -------
    >>> model = nn.ModuleDict({"encoder": nn.BatchNorm1d(2), "joiner": nn.Linear(2, 2)})
    >>> tuning = FineTuning(frozen=[model["encoder"]])
    >>> _ = model.train()
    >>> tuning.keep_frozen()
    >>> model["encoder"].training, [name for name, p in model.named_parameters() if p.requires_grad]
    (False, ['joiner.weight', 'joiner.bias'])
    """

    def __init__(
        self, *, penalty: ElasticPenalty | None = None, frozen: Sequence[nn.Module] = ()
    ) -> None:
        self.penalty = penalty
        self.frozen = tuple(frozen)
        self._last: Tensor | None = None
        for module in self.frozen:
            module.requires_grad_(False)

    def keep_frozen(self) -> None:
        """Call it after everything was put into training mode."""
        for module in self.frozen:
            evaluate_with_gradients(module)

    def regularized(self, loss: Tensor, modules: nn.Module) -> Tensor:
        """The loss with the pull to the start.

        Arguments
        ---------
        loss : Tensor
            Scalar, a mean over utterances.
        modules : Module
            All that is trained.

        Returns
        -------
        Tensor
            Scalar; `loss` itself where nothing pulls.
        """
        if self.penalty is None or self.penalty.weight == 0:
            return loss
        value = self.penalty(modules.named_parameters())
        self._last = value.detach()
        return loss + value

    def figures(self) -> dict[str, float]:
        """The last penalty in nats per utterance, for the log; nothing before the first."""
        return {} if self._last is None else {"elastic_penalty": self._last.item()}
