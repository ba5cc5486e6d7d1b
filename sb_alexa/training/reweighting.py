"""The two players of adversarial reweighting in turn: the second optimizer and its schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from torch import Tensor, nn

from sb_alexa.fairness.adversarial_reweighting import AdversarialReweighting
from sb_alexa.fairness.speaker_batch import SpeakerBatch
from sb_alexa.fairness.speaker_objective import SpeakerObjective
from sb_alexa.fairness.weight_statistics import WeightStatistics
from sb_alexa.training.processes import broadcast_parameters, sum_gradients

OptimizerClass = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class WeightCollapseError(RuntimeError):
    """The adversary puts its weight on a few samples only."""


@register_checkpoint_hooks
class Reweighting:
    """Training with adversarial reweighting; with a plain `SpeakerObjective`, without it.

    A recipe calls `start_epoch` at the start of an epoch, `loss` on every training batch, and
    `update` on the same batch afterwards. The learner's optimizer stays what it is. The first
    batches are trained without weights; then each batch moves the adversary one step up the
    objective that the learner descends.

    Arguments
    ---------
    objective : SpeakerObjective
        The baseline or one of the three formulations.
    opt_class : Callable | None
        Parameters -> optimizer of the adversary; None for Adam with a learning rate of 0.001.
    warmup_batches : int
        Batches without weights, so that the adversary meets a model that has learned something.
    min_entropy : float
        Bound of the weights' entropy, as a fraction of that of equal weights.
    collapse_patience : int
        Batches in a row below the bound that end training.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Reference
    ---------
    Jin et al., Interspeech 2022, arXiv 2207.07776, after Lahoti et al., NeurIPS 2020, arXiv
    2006.13114. The full text of the former was not available to us. Theirs: the players alternate.
    Ours: the optimizer, one step each, the baseline first, and the bound of the entropy.

    Example
    -------
    >>> from sb_alexa.fairness.accumulated_similarity import AccumulatedPairwiseSimilarity
    >>> from sb_alexa.fairness.adversary import WeightAdversary
    >>> from sb_alexa.losses.angular_prototypical import AngularPrototypicalLoss
    >>> objective = AccumulatedPairwiseSimilarity(
    ...     losses=[AngularPrototypicalLoss()], adversary=WeightAdversary(input_size=2)
    ... )
    >>> reweighting = Reweighting(objective=objective)
    >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [1.0, 0.5]])
    >>> batch = SpeakerBatch.of(embeddings, torch.tensor([0, 0, 1, 1]))
    >>> before = reweighting.loss(batch)
    >>> statistics = reweighting.update(batch)
    >>> bool(reweighting.loss(batch) > before)  # the adversary went up
    True
    """

    def __init__(
        self,
        *,
        objective: SpeakerObjective,
        opt_class: OptimizerClass | None = None,
        warmup_batches: int = 0,
        min_entropy: float = 0.5,
        collapse_patience: int = 100,
    ) -> None:
        if warmup_batches < 0 or collapse_patience < 1 or not 0 <= min_entropy < 1:
            raise ValueError(
                "warmup_batches must be >= 0, collapse_patience >= 1 and min_entropy in [0, 1), "
                f"got {warmup_batches}, {collapse_patience} and {min_entropy}"
            )
        self.objective = objective
        self.warmup_batches = warmup_batches
        self.min_entropy = min_entropy
        self.collapse_patience = collapse_patience
        self.game = objective if isinstance(objective, AdversarialReweighting) else None
        opt_class = opt_class or partial(torch.optim.Adam, lr=1e-3)
        self.optimizer = opt_class(self.game.adversary.parameters()) if self.game else None
        self.num_batches = 0
        self.num_collapsed = 0

    def prepare(self, device: torch.device | str) -> None:
        """Move the adversary to the device of the embeddings, the same one on all processes."""
        for module in self._modules().values():
            module.to(device)
            broadcast_parameters(module)

    @property
    def active(self) -> bool:
        """Whether samples have weights by now."""
        return self.game is not None and self.num_batches >= self.warmup_batches and self.game.ready

    def start_epoch(self, epoch: int) -> None:
        """Fit the clusters anew to the embeddings of the last epoch, if there are enough."""
        clusters = self.game.clusters if self.game else None
        if clusters is None or len(clusters.remembered) < clusters.num_clusters:
            return
        clusters.refit(clusters.remembered, epoch=epoch)
        broadcast_parameters(clusters)  # rounding on another device could have moved a point

    def loss(self, batch: SpeakerBatch) -> Tensor:
        """The learner's loss.

        Arguments
        ---------
        batch : SpeakerBatch
            The global batch.

        Returns
        -------
        Tensor
            Scalar: the mean over this process's utterances, as `Experiment` expects it.
        """
        if self.game is None or not self.active:
            return self.objective(batch)
        return self.game.weighted(batch, self.sample_weights(batch))

    def sample_weights(self, batch: SpeakerBatch) -> Tensor:
        """(N,) lambda of the global batch, of mean 2; all equal while samples have no weights."""
        if self.game is None or not self.active:
            return batch.embeddings.new_full((len(batch.speakers),), 2.0)
        with torch.no_grad():
            return self.game.sample_weights(batch)

    def update(self, batch: SpeakerBatch) -> WeightStatistics | None:
        """The adversary's turn, after the learner's loss; its embeddings get no gradient.

        Arguments
        ---------
        batch : SpeakerBatch
            The batch of the learner's loss.

        Returns
        -------
        WeightStatistics | None
            Of the weights that the learner's loss had; None where it had none. The same on every
            process.

        Raises
        ------
        WeightCollapseError
            If the entropy was below its bound for too long.
        """
        batch = batch.detach()
        if self.game is None or not bool(torch.isfinite(batch.embeddings).all()):
            return None
        statistics = self._ascend(self.game, batch) if self.active else None
        if self.game.clusters is not None:
            self.game.clusters.remember(batch.embeddings)
        self.num_batches += 1
        if statistics is not None:
            self._watch(statistics)
        return statistics

    def _ascend(self, game: AdversarialReweighting, batch: SpeakerBatch) -> WeightStatistics:
        assert self.optimizer is not None
        weights = game.sample_weights(batch)
        descent = -game.weighted(batch, weights) * batch.share  # summed over processes: global
        parameters = list(game.adversary.parameters())
        # Not backward(): the parameters of the losses are the learner's.
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(descent, parameters), strict=True
        ):
            parameter.grad = gradient
        sum_gradients(parameters)
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if bool(torch.isfinite(norm)):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return WeightStatistics.of(weights)

    def _watch(self, statistics: WeightStatistics) -> None:
        collapsed = statistics.relative_entropy < self.min_entropy
        self.num_collapsed = self.num_collapsed + 1 if collapsed else 0
        if self.num_collapsed >= self.collapse_patience:
            raise WeightCollapseError(
                f"the sample weights collapsed: for {self.num_collapsed} batches their entropy was "
                f"below {self.min_entropy:g} of that of equal weights, now "
                f"{statistics.entropy:.2f} nats or {statistics.relative_entropy:.2f}, so that "
                f"about {statistics.effective_samples:.0f} of {statistics.num_samples} samples "
                "carry the weight; lower the adversary's learning rate, give its optimizer a "
                "weight_decay, use larger batches, or lower min_entropy"
            )

    # ---- checkpoints

    def _modules(self) -> dict[str, nn.Module]:
        if self.game is None:
            return {}
        modules: dict[str, nn.Module] = {"adversary": self.game.adversary}
        if self.game.clusters is not None:
            modules["clusters"] = self.game.clusters
        return modules

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs."""
        return {
            "num_batches": self.num_batches,
            "num_collapsed": self.num_collapsed,
            "optimizer": self.optimizer.state_dict() if self.optimizer else None,
            **{name: module.state_dict() for name, module in self._modules().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Undo `state_dict`; the objective must be of the same kind and size."""
        modules = self._modules()
        saved = set(state) - {"num_batches", "num_collapsed", "optimizer"}
        if saved != set(modules):
            raise ValueError(
                f"the checkpoint holds {sorted(saved) or 'no adversary'}, "
                f"{type(self.objective).__name__} needs {sorted(modules) or 'none'}; resume with "
                "the objective the training began with, or start in another output folder"
            )
        for name, module in modules.items():
            module.load_state_dict(state[name])
        if self.optimizer is not None:
            self.optimizer.load_state_dict(state["optimizer"])
        self.num_batches, self.num_collapsed = state["num_batches"], state["num_collapsed"]

    @mark_as_saver
    def _save(self, path: str | Path) -> None:
        torch.save(self.state_dict(), path)

    @mark_as_loader
    def _recover(self, path: str | Path, end_of_epoch: bool) -> None:
        self.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
