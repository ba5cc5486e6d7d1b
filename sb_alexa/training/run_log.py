"""The log of a run: JSON lines for programs, text for people, TensorBoard where wanted."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from speechbrain.utils.distributed import if_main_process

from sb_alexa.corpora.stamp import replaced_atomically

logger = logging.getLogger(__name__)


class RunLog:
    """Appends events to ``train_log.jsonl`` and ``train_log.txt``; only the main process writes.

    An event is a mapping with ``event`` (train, valid or test), ``step`` and ``epoch``, ``seconds``
    of training so far and figures such as ``loss`` and ``wer``.

    Arguments
    ---------
    folder : str | Path
        The run's output folder.
    tensorboard : bool
        Also write scalars to ``<folder>/tensorboard`` (needs the tensorboard package).

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> log = RunLog(folder)
    >>> log.write({"event": "train", "step": 10, "epoch": 1, "seconds": 2.5, "loss": 31.0})
    >>> read_events(folder)[0]["loss"]
    31.0
    """

    def __init__(self, folder: str | Path, *, tensorboard: bool = False) -> None:
        self.folder = Path(folder)
        self.writer: Any = None
        self.tensorboard = tensorboard and if_main_process()
        if self.tensorboard:
            self._open_tensorboard(None)

    def write(self, event: dict[str, Any]) -> None:
        """Append one event."""
        if not if_main_process():
            return
        with open(self.folder / "train_log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
        if event["event"] != "train" or event.get("end_of_epoch"):
            with open(self.folder / "train_log.txt", "a", encoding="utf-8") as file:
                file.write(_as_text(event) + "\n")
        if self.writer is not None:
            # Of its own for the mean of an epoch and for each test set: one curve, one quantity.
            group = "epoch" if event.get("end_of_epoch") else event["event"]
            group = f"{group}/{event['split']}" if "split" in event else group
            for name, value in event.items():
                if isinstance(value, (int, float)) and name not in ("step", "end_of_epoch"):
                    self.writer.add_scalar(f"{group}/{name}", value, event["step"])
            self.writer.flush()

    def _open_tensorboard(self, purge_step: int | None) -> None:
        """Open a file of scalars that replaces those of `purge_step` and later steps."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "tensorboard: True needs the tensorboard package: "
                "pip install 'sb-alexa[tensorboard]'"
            ) from error
        if self.writer is not None:
            self.writer.close()
        self.writer = SummaryWriter(str(self.folder / "tensorboard"), purge_step=purge_step)

    def forget_after(self, step: int) -> None:
        """Drop the events of steps that a resumed run will make again."""
        if not if_main_process():
            return
        events = read_events(self.folder)
        kept = [event for event in events if event["step"] <= step and event["event"] != "test"]
        if len(kept) == len(events):
            return
        self._replace(kept)
        with open(self.folder / "train_log.txt", "a", encoding="utf-8") as file:
            file.write(f"resumed after step {step}\n")
        if self.tensorboard:
            self._open_tensorboard(step + 1)

    def forget_test(self, split: str) -> None:
        """Drop earlier results of a test set that is tested again."""
        if if_main_process():
            events = read_events(self.folder)
            kept = [e for e in events if e["event"] != "test" or e["split"] != split]
            if len(kept) < len(events):
                self._replace(kept)

    def _replace(self, events: list[dict[str, Any]]) -> None:
        with replaced_atomically(self.folder / "train_log.jsonl") as temporary:
            lines = "".join(json.dumps(event) + "\n" for event in events)
            temporary.write_text(lines, encoding="utf-8")


def read_events(folder: str | Path) -> list[dict[str, Any]]:
    """The events of a run, a line that a kill cut short left out.

    Arguments
    ---------
    folder : str | Path
        The run's output folder.
    """
    path = Path(folder, "train_log.jsonl")
    events = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            logger.warning("%s: an incomplete line was left out", path)
    return events


def _as_text(event: dict[str, Any]) -> str:
    parts = []
    for name, value in event.items():
        if name in ("event", "end_of_epoch"):
            continue
        parts.append(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    return f"{event['event']} - " + ", ".join(parts)
