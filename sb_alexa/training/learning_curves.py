"""The learning curves of a run as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.training.run_log import read_events

_NAMES = {"wer": "word error rate", "eer": "equal error rate"}


def plot_learning_curves(folder: str | Path, *, metric: str = "wer") -> Path | None:
    """Draw loss and error rate over training steps into ``learning_curves.png``.

    Arguments
    ---------
    folder : str | Path
        The run's output folder with its ``train_log.jsonl``.
    metric : str
        Error rate to draw: `wer` or `eer`.

    Returns
    -------
    Path | None
        The picture; None if matplotlib is not installed (``pip install 'sb-alexa[plots]'``).
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    events = read_events(folder)
    # Not through pyplot, which would change the backend of a notebook that calls this.
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, style in (("train", {"lw": 1.2}), ("valid", {"lw": 0, "marker": "o", "ms": 5})):
        steps, losses = _series(events, name, "loss")
        left.plot(steps, losses, label="training" if name == "train" else "validation", **style)  # type: ignore[arg-type]
    left.set(
        xlabel="optimizer step", ylabel="loss (nats per utterance)", yscale="log", title="Loss"
    )
    left.legend(frameon=False)
    error_rate = _NAMES[metric]
    steps, rates = _series(events, "valid", metric)
    right.plot(steps, rates, marker="o", ms=5, label="validation")
    for event in events:
        if event["event"] == "test":
            label = f"{event['split']}: {event[metric]:.1f} %"
            right.axhline(event[metric], ls="--", lw=1, color="0.4")
            right.annotate(
                label,
                (0, event[metric]),
                xycoords=("axes fraction", "data"),
                xytext=(4, 4),
                textcoords="offset points",
            )
    shown = [*rates, *(event[metric] for event in events if event["event"] == "test")]
    top = max(shown, default=100.0)
    right.set(
        xlabel="optimizer step", ylabel=f"{error_rate} (%)", ylim=(0, min(105.0, top * 1.1 + 1))
    )
    right.set_title(error_rate.capitalize())
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    path = Path(folder, "learning_curves.png")
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
    return path


def _series(events: list[dict[str, Any]], name: str, figure: str) -> tuple[list[int], list[float]]:
    chosen = [e for e in events if e["event"] == name and figure in e and not e.get("end_of_epoch")]
    return [event["step"] for event in chosen], [event[figure] for event in chosen]
