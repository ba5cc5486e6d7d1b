"""Estimation of the diagonal Fisher information of what a Brain trains."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import speechbrain as sb
import torch
import torch.distributed
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from sb_alexa.training.batching import derive_seed
from sb_alexa.training.evaluation_mode import evaluating_with_gradients
from sb_alexa.training.experiment import seed_everything
from sb_alexa.training.fisher_information import (
    FisherInformation,
    FisherStamp,
    names_digest,
    weights_digest,
)
from sb_alexa.training.fisher_journal import FisherJournal, PartialSums
from sb_alexa.training.interruption import StopRequest, TrainingStopped
from sb_alexa.training.processes import gather_lists, rank_and_size

logger = logging.getLogger(__name__)


def estimate_fisher(
    brain: sb.Brain,
    dataset: Dataset[Any],
    *,
    ids: Sequence[str],
    collate_fn: Callable[[list[Any]], Any],
    num_utterances: int | None = None,
    names: Collection[str] | None = None,
    seed: int = 0,
    stage: sb.Stage = sb.Stage.TRAIN,
    disabled: Sequence[str] = ("wav_augment", "spec_augment"),
    num_workers: int = 0,
    journal: Path | None = None,
    journal_interval_utterances: int = 500,
    progress: bool = True,
) -> FisherInformation:
    """Mean over utterances of the squared gradient of the loss at the weights of now.

    This is the empirical Fisher information: reference labels, and the gradient of every utterance
    by itself (the squared gradient of a batch's mean underestimates it, by about the batch size).
    Modules compute as in evaluation, in the precision of the parameters. The result depends neither
    on the number of processes nor on interruptions, beyond the order of a sum in float64.

    Arguments
    ---------
    brain : Brain
        Any with `compute_forward` and `compute_objectives`; its weights, their gradients, buffers
        and modes stay what they are.
    dataset : Dataset
        (N) items by number, such as a `SpeechDataset` or SpeechBrain's `DynamicItemDataset`.
    ids : sequence of str
        (N) names of the items, for the stamp.
    collate_fn : Callable
        A list of one item -> batch.
    num_utterances : int | None
        So many are drawn by `seed`; None, or more than there are, takes all.
    names : collection of str | None
        Parameters to look at; None for all that are trained.
    seed : int
        Of the selection, and of whatever is random in the loss of an utterance.
    stage : Stage
        Told to the Brain. TRAIN by default: no search. Where a recipe has augmentation that cannot
        be disabled by `disabled`, VALID is without it.
    disabled : sequence of str
        Attributes of `brain.hparams` that are None meanwhile.
    num_workers : int
        Loading processes.
    journal : Path | None
        Folder of partial sums: an interrupted estimation goes on from them, also with another
        number of processes. Deleted at the end.
    journal_interval_utterances : int
        Utterances of a process between two writes.
    progress : bool
        Whether to show a bar with the time left.

    Returns
    -------
    FisherInformation
        The same on all processes.

    Raises
    ------
    ValueError
        If there is nothing to estimate from, or every gradient was NaN or infinite.
    TrainingStopped
        After SIGINT or SIGTERM, with the journal written.

    Reference
    ---------
    Kirkpatrick et al. 2017, arXiv 1612.00796. Kunstner et al., "Limitations of the empirical Fisher
    approximation", NeurIPS 2019, arXiv 1905.12558, on what the reference labels change.
    """
    parameters = _chosen(brain.modules, names)
    chosen = _drawn(len(ids), num_utterances, seed)
    stamp = fisher_stamp(brain, ids, num_utterances=num_utterances, seed=seed)
    sums, log = PartialSums.none(parameters, len(chosen)), None
    if journal is not None:
        log = FisherJournal(Path(journal), stamp)
        sums = log.restore(sums)
    rank, size = rank_and_size()
    left = (~sums.done).nonzero().flatten().tolist()
    if rank > 0:  # the main process speaks for what was done before
        sums.done.zero_()
    mine = left[rank::size]
    loader = DataLoader(
        Subset(dataset, [chosen[place] for place in mine]),
        batch_size=1,
        collate_fn=collate_fn,
        num_workers=num_workers,
    )
    with _as_evaluated(brain, disabled), _own_randomness(), StopRequest() as stop:
        bar = tqdm(loader, "Fisher information", disable=not (progress and rank == 0),
                   initial=len(chosen) - len(left) if size == 1 else 0,
                   total=len(chosen) if size == 1 else len(mine), dynamic_ncols=True)  # fmt: skip
        for number, (place, batch) in enumerate(zip(mine, bar, strict=True), start=1):
            seed_everything(derive_seed(seed, chosen[place]))
            _add_squares(brain, batch, stage, parameters, sums, place)
            if log is not None and (stop.requested or number % journal_interval_utterances == 0):
                log.save(sums)
            if stop.requested:
                raise TrainingStopped(
                    f"stopped after {number} of {len(mine)} utterances of the Fisher information; "
                    "run the same command to resume"
                )
    information = _reduced(sums, stamp)
    if log is not None:
        ddp_barrier()
        if if_main_process():
            log.remove()
    return information


def fisher_stamp(
    brain: sb.Brain, ids: Sequence[str], *, num_utterances: int | None = None, seed: int = 0
) -> FisherStamp:
    """The stamp that `estimate_fisher` would give with the same arguments now."""
    chosen = _drawn(len(ids), num_utterances, seed)
    names = names_digest(ids[place] for place in chosen)
    return FisherStamp(weights_digest(brain.modules), names, len(chosen))


def _chosen(modules: nn.Module, names: Collection[str] | None) -> dict[str, Tensor]:
    parameters: dict[str, Tensor] = {
        name: parameter
        for name, parameter in modules.named_parameters()
        if parameter.requires_grad and (names is None or name in names)
    }
    if not parameters:
        raise ValueError("no trained parameter is left to estimate the Fisher information of")
    return parameters


def _drawn(number: int, wanted: int | None, seed: int) -> list[int]:
    """The items to look at, in their order."""
    if number == 0 or (wanted is not None and wanted < 1):
        raise ValueError(
            f"the Fisher information needs utterances: there are {number} and num_utterances is "
            f"{wanted}; a few hundred give a stable mean"
        )
    if wanted is None or wanted >= number:
        return list(range(number))
    generator = torch.Generator().manual_seed(derive_seed(seed, number))
    return sorted(torch.randperm(number, generator=generator)[:wanted].tolist())


def _add_squares(
    brain: sb.Brain,
    batch: Any,
    stage: sb.Stage,
    parameters: dict[str, Tensor],
    sums: PartialSums,
    place: int,
) -> None:
    batch = batch.to(brain.device)
    loss = brain.compute_objectives(brain.compute_forward(batch, stage), batch, stage)
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    present = [gradient for gradient in gradients if gradient is not None]
    sums.done[place] = True
    if not bool(torch.isfinite(loss.detach() + nn.utils.get_total_norm(present))):
        sums.left_out[place] = True
        return
    for total, gradient in zip(sums.squares.values(), gradients, strict=True):
        if gradient is not None:
            total.addcmul_(gradient.double(), gradient.double())


def _reduced(sums: PartialSums, stamp: FisherStamp) -> FisherInformation:
    """The mean over the utterances of all processes."""
    left_out = sum(gather_lists([int(sums.left_out.sum())]))
    done = sum(gather_lists([int(sums.done.sum())]))
    assert done == stamp.num_utterances, "processes disagree on who looks at which utterance"
    if left_out:
        logger.warning("%d of %d utterances have no finite gradient: left out", left_out, done)
    if left_out == done:
        raise ValueError(
            "no utterance has a finite gradient; are the weights those of a trained model?"
        )
    diagonal = {}
    for name, total in sums.squares.items():
        if rank_and_size()[1] > 1:
            torch.distributed.all_reduce(total)
        diagonal[name] = (total / (done - left_out)).float().cpu()
    return FisherInformation(diagonal, stamp, left_out)


@contextmanager
def _as_evaluated(brain: sb.Brain, disabled: Sequence[str]) -> Iterator[None]:
    """Everything the Brain computes with as in evaluation; some of its hparams are None."""
    hparams = getattr(brain, "hparams", None)  # a Brain may be made without
    values = {} if hparams is None else vars(hparams)
    others = [value for value in values.values() if isinstance(value, nn.Module)]
    replaced = {name: values[name] for name in disabled if name in values}
    values.update(dict.fromkeys(replaced))
    try:
        with evaluating_with_gradients([brain.modules, *others]):
            yield
    finally:
        values.update(replaced)


@contextmanager
def _own_randomness() -> Iterator[None]:
    """Leave the global generators as they were found."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        yield
    random.setstate(of_python)
    np.random.set_state(of_numpy)
