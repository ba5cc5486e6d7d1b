"""Checkpoints that are whole or absent."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from speechbrain.utils.checkpoints import Checkpoint, Checkpointer
from speechbrain.utils.distributed import ddp_barrier, if_main_process

_PARTIAL = ".partial-"

logger = logging.getLogger(__name__)


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or belongs to another model."""


class AtomicCheckpointer(Checkpointer):
    """SpeechBrain's Checkpointer, writing to a temporary folder that is renamed when complete.

    SpeechBrain writes the file that marks a folder as a checkpoint first, so a kill or a full disk
    in the middle leaves a folder that looks whole and is not. Here a folder under its final name is
    always whole, and the previous checkpoint stays until the new one is.

    Arguments
    ---------
    checkpoints_dir : str
        Folder of the checkpoints.
    recoverables : dict
        Objects by name; modules are loaded strictly.

    Raises
    ------
    CheckpointError
        If the disk refuses; the message names the last good checkpoint.
    """

    def __init__(self, checkpoints_dir: str, recoverables: dict[str, Any] | None = None) -> None:
        super().__init__(checkpoints_dir, recoverables)
        for name, item in (recoverables or {}).items():
            if isinstance(item, torch.nn.Module):
                self.custom_load_hooks[name] = load_strictly
        self.remove_partial()

    def remove_partial(self) -> None:
        """Delete what an interrupted save left behind."""
        if if_main_process():
            for leftover in Path(self.checkpoints_dir).glob(f"{_PARTIAL}*"):
                shutil.rmtree(leftover, ignore_errors=True)

    def save_checkpoint(
        self,
        meta: dict[str, Any] = {},  # noqa: B006  SpeechBrain's signature
        end_of_epoch: bool = True,
        name: str | None = None,
        verbosity: int = logging.INFO,
    ) -> Checkpoint | None:
        """Save all recoverables; see SpeechBrain's `Checkpointer.save_checkpoint`."""
        try:
            checkpoint = super().save_checkpoint(meta, end_of_epoch, name, logging.DEBUG)
            ddp_barrier()
            if checkpoint is not None:  # the main process
                checkpoint = _renamed(checkpoint)
                logger.log(verbosity, "Saved a checkpoint in %s", checkpoint.path)
        except (OSError, RuntimeError) as error:
            self.remove_partial()
            previous = self.find_checkpoint()
            kept = (
                f"the last good checkpoint is {previous.path}" if previous else "there is none yet"
            )
            raise CheckpointError(
                f"could not write a checkpoint to {self.checkpoints_dir}: {error}; {kept}; "
                "free some space and run the same command again to resume"
            ) from error
        # All processes list the folder next, to delete old checkpoints together: they must see the
        # same.
        ddp_barrier()
        return checkpoint

    def save_and_keep_only(self, *args: Any, **kwargs: Any) -> None:
        """Save, then delete; see SpeechBrain's `Checkpointer.save_and_keep_only`."""
        # SpeechBrain appends to the default of this argument: every save lists the folder, and
        # reads each checkpoint's figures, two times more often than the one before.
        kwargs.setdefault("importance_keys", [])
        super().save_and_keep_only(*args, **kwargs)

    def _new_checkpoint_dirpath(self) -> Path:
        # Two saves within a second would share SpeechBrain's name if only whole folders counted; it
        # numbers them by what exists under the final name, which the rename has created by then.
        final = super()._new_checkpoint_dirpath()
        return final.parent / (_PARTIAL + final.name)

    def _custom_checkpoint_dirpath(self, name: str) -> Path:
        final = super()._custom_checkpoint_dirpath(name)
        return final.parent / (_PARTIAL + final.name)


def _renamed(checkpoint: Checkpoint) -> Checkpoint:
    """Give a complete checkpoint its final name."""
    final = checkpoint.path.parent / checkpoint.path.name[len(_PARTIAL) :]
    _flush_to_disk(checkpoint.path)
    if final.exists():
        shutil.rmtree(final)
    os.replace(checkpoint.path, final)
    files = {key: final / path.name for key, path in checkpoint.paramfiles.items()}
    return Checkpoint(final, checkpoint.meta, files)


def load_strictly(module: torch.nn.Module, path: str | Path, end_of_epoch: bool = True) -> None:
    """Load a state dict, refusing any difference in names or shapes.

    Arguments
    ---------
    module : torch.nn.Module
        The model as configured.
    path : str | Path
        Saved state dict.
    end_of_epoch : bool
        Unused; part of SpeechBrain's hook.

    Raises
    ------
    CheckpointError
        Naming the missing, unexpected and misshapen parameters.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    differences = describe_differences(module.state_dict(), state)
    if differences:
        raise CheckpointError(
            f"{path} holds another model than the one configured: {differences}; "
            "use the YAML it was trained with, or another output_folder"
        )
    module.load_state_dict(state, strict=True)


def describe_differences(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> str:
    """What keeps a state dict from fitting a model, in words; empty if it fits.

    Arguments
    ---------
    expected, found : dict
        State dicts.

    Returns
    -------
    str
        At most five names of each kind.

    Example
    -------
    >>> describe_differences({"a": torch.zeros(2)}, {"b": torch.zeros(2)})
    "missing ['a']; unexpected ['b']"
    """
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    misshapen = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected
        if name in found and found[name].shape != expected[name].shape
    ]
    parts = []
    for word, names in (("missing", missing), ("unexpected", unexpected), ("shapes", misshapen)):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            parts.append(f"{word} {names[:5]}{more}")
    return "; ".join(parts)


def _flush_to_disk(folder: Path) -> None:
    """Make the rename of the folder the last thing that reaches the disk."""
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
