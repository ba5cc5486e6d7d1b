"""What experiments that emit word pieces have in common."""

from __future__ import annotations

from typing import Any

import speechbrain as sb

from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.training.logged_experiment import LoggedExperiment
from sb_alexa.training.processes import gather_lists


class WordPieceExperiment(LoggedExperiment):
    """An experiment whose labels are word pieces.

    Arguments
    ---------
    word_pieces : WordPieces
        Labels <-> text.
    **kwargs : object
        See `LoggedExperiment`.
    """

    def __init__(self, *, word_pieces: WordPieces, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.word_pieces = word_pieces
        self.dropped_ctc_terms = 0

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        super().on_stage_start(stage, epoch)
        if stage == sb.Stage.TRAIN:
            self.dropped_ctc_terms = 0

    def training_figures(self, *, end_of_epoch: bool) -> dict[str, Any]:
        """Utterances with more labels than frames, whose CTC loss was left out."""
        figures = super().training_figures(end_of_epoch=end_of_epoch)
        dropped = sum(gather_lists([self.dropped_ctc_terms])) if end_of_epoch else 0
        return {**figures, "dropped_ctc_terms": dropped} if dropped else figures
