"""Partial sums of squared gradients on disk, so that a long estimation can be resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.training.fisher_information import FisherStamp
from sb_alexa.training.processes import gather_lists, rank_and_size

_SUM = "sum."


@dataclass
class PartialSums:
    """What has been summed so far.

    Arguments
    ---------
    squares : dict of str to Tensor
        Sum of squared gradients by name of the parameter, float64.
    done : Tensor
        (N,) bool, the utterances that were looked at.
    left_out : Tensor
        (N,) bool, those of them whose gradient was not finite.
    """

    squares: dict[str, Tensor]
    done: Tensor
    left_out: Tensor

    @classmethod
    def none(cls, parameters: Mapping[str, Tensor], num_utterances: int) -> PartialSums:
        """Nothing summed yet."""
        return cls(
            {name: torch.zeros_like(p, dtype=torch.float64) for name, p in parameters.items()},
            torch.zeros(num_utterances, dtype=torch.bool),
            torch.zeros(num_utterances, dtype=torch.bool),
        )

    def add(self, other: PartialSums) -> None:
        """Add the sums over other utterances."""
        for name, total in self.squares.items():
            total += other.squares[name].to(total)
        self.done |= other.done
        self.left_out |= other.left_out


class FisherJournal:
    """One file for each process, replaced again and again, with what it has summed.

    A resumed estimation may have another number of processes: every file says which utterances it
    sums, and files that overlap with a larger one are left aside (the larger one contains them).

    Arguments
    ---------
    folder : Path
        Holds nothing else.
    stamp : FisherStamp
        Files of another estimation are ignored.

    Example
    -------
    >>> folder = getfixture("tmp_path") / "journal"
    >>> stamp = FisherStamp("f00d", "cafe", 3)
    >>> sums = PartialSums.none({"w": torch.zeros(1)}, 3)
    >>> sums.squares["w"] += 5.0
    >>> sums.done[1] = True
    >>> FisherJournal(folder, stamp).save(sums)
    >>> found = FisherJournal(folder, stamp).restore(PartialSums.none({"w": torch.zeros(1)}, 3))
    >>> found.squares["w"].item(), found.done.tolist()
    (5.0, [False, True, False])
    """

    def __init__(self, folder: Path, stamp: FisherStamp) -> None:
        self.folder = folder
        self.stamp = stamp

    def restore(self, nothing: PartialSums) -> PartialSums:
        """The sums of an interrupted estimation.

        Arguments
        ---------
        nothing : PartialSums
            Empty sums of the right names and shapes; filled and returned.

        Returns
        -------
        PartialSums
            The main process gets the sums, the others zeros; `done` is that of all of them.
        """
        rank, size = rank_and_size()
        if rank == 0:
            parts = [part for path in sorted(self.folder.glob("part-*")) if
                     (part := self._read(path, nothing)) is not None]  # fmt: skip
            for part in sorted(parts, key=lambda one: int(one.done.sum()), reverse=True):
                if not bool((part.done & nothing.done).any()):
                    nothing.add(part)
            if bool(nothing.done.any()):
                self.save(nothing)  # before another process replaces its file
        if size > 1:  # what lies on this process's disk may be something else
            nothing.done = gather_lists([nothing.done])[0].clone()
        return nothing

    def save(self, sums: PartialSums) -> None:
        """Replace this process's file."""
        path = self.folder / f"part-{rank_and_size()[0]}.safetensors"
        tensors = {_SUM + name: total.cpu().contiguous() for name, total in sums.squares.items()}
        tensors |= {"done": sums.done, "left_out": sums.left_out}
        metadata = {"stamp": json.dumps(asdict(self.stamp))}
        with replaced_atomically(path) as temporary:
            safetensors.torch.save_file(tensors, temporary, metadata=metadata)

    def remove(self) -> None:
        """Delete the files, all work being done; called on the main process."""
        for path in self.folder.glob("part-*"):
            path.unlink()
        if self.folder.is_dir():
            self.folder.rmdir()

    def _read(self, path: Path, like: PartialSums) -> PartialSums | None:
        """The sums of a file; None if it is of another estimation or damaged: work not done."""
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                if (file.metadata() or {}).get("stamp") != json.dumps(asdict(self.stamp)):
                    return None
                squares = {name: file.get_tensor(_SUM + name) for name in like.squares}
                return PartialSums(squares, file.get_tensor("done"), file.get_tensor("left_out"))
        except SafetensorError:
            return None
