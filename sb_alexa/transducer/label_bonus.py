"""What is added to a label's log-probability in a search: language model, phrases, length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sb_alexa.streaming.state import State
from sb_alexa.transducer.biasing import PhraseTables
from sb_alexa.transducer.language_model import LanguageModel


@dataclass(frozen=True)
class BonusState(State):
    """One row for each hypothesis.

    Arguments
    ---------
    language_model : State | tuple
        After the labels; an empty tuple without a language model.
    phrase_node : Tensor | tuple
        (N,) node of the stream's phrases; an empty tuple without phrases.
    """

    language_model: Any = ()
    phrase_node: Any = ()


@dataclass(frozen=True)
class LabelBonus:
    """Nats for each label that may follow a hypothesis; the blank gets none.

    Arguments
    ---------
    blank_index : int
        The blank.
    num_labels : int
        V.
    language_model : LanguageModel | None
        Scores the labels.
    language_model_weight : float
        Factor of its log-probabilities.
    length_reward : float
        Nats for each label.
    score_end_of_sentence : bool
        Whether the end of an utterance counts as well.
    """

    blank_index: int
    num_labels: int
    language_model: LanguageModel | None
    language_model_weight: float
    length_reward: float
    score_end_of_sentence: bool

    def initial_state(self, phrases: Any, batch_size: int) -> BonusState:
        """Before the first label; `phrases` holds the tables of each row, or is an empty tuple."""
        model = self.language_model
        return BonusState(
            () if model is None else model.initial_state(batch_size),
            phrases.start() if isinstance(phrases, PhraseTables) else (),
        )

    def scores(self, state: BonusState, phrases: Any, stream: Tensor, dtype: Any) -> Any:
        """(N, V) nats, or an empty tuple where there is never a bonus.

        Arguments
        ---------
        state : BonusState
            N rows.
        phrases : PhraseTables | tuple
            Of all streams.
        stream : Tensor
            (N,) stream of each row.
        dtype : torch.dtype
            Of the result.
        """
        has_phrases = isinstance(phrases, PhraseTables)
        if self.language_model is None and not has_phrases and self.length_reward == 0:
            return ()
        total = torch.full(
            (len(stream), self.num_labels), self.length_reward, dtype=dtype, device=stream.device
        )
        if self.language_model is not None:
            log_probs = self.language_model.score(state.language_model)
            if log_probs.shape != total.shape:
                raise ValueError(
                    f"the language model scores {tuple(log_probs.shape)} labels, the transducer "
                    f"has {tuple(total.shape)}; both must share one set of labels, the blank's "
                    "column included"
                )
            total += self.language_model_weight * log_probs.to(total)
        if has_phrases:
            total += phrases.scores(stream, state.phrase_node).to(total)
        total[:, self.blank_index] = 0.0  # the column may hold anything
        return total

    def advance(
        self, tokens: Tensor, state: BonusState, phrases: Any, stream: Tensor
    ) -> BonusState:
        """Append a label (N,) to each row."""
        model, node = state.language_model, state.phrase_node
        if self.language_model is not None:
            model = self.language_model.advance(tokens, model)
        if isinstance(phrases, PhraseTables):
            node = phrases.advance(stream, node, tokens)
        return BonusState(model, node)

    def final_scores(self, state: BonusState, phrases: Any, stream: Tensor) -> Tensor:
        """(N,) nats for ending here: the end of the sentence, less what unfinished phrases hold."""
        total = torch.zeros(len(stream), dtype=torch.float64, device=stream.device)
        if self.language_model is not None and self.score_end_of_sentence:
            end = self.language_model.end_of_sentence(state.language_model)
            total += self.language_model_weight * end.to(total)
        if isinstance(phrases, PhraseTables):
            total -= phrases.unfinished(stream, state.phrase_node)
        return total
