"""Beam search of a transducer, batched over streams and hypotheses, chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sb_alexa.streaming.state import num_rows, rows
from sb_alexa.transducer.beam_frames import BeamFrames, first_state
from sb_alexa.transducer.beam_labels import hypotheses
from sb_alexa.transducer.beam_parts import NotANumberError, Rules
from sb_alexa.transducer.beam_state import BeamState, one_row_each
from sb_alexa.transducer.biasing import Phrase, phrase_tables
from sb_alexa.transducer.greedy import GreedySearch, GreedyState
from sb_alexa.transducer.hypothesis import Hypothesis, ScoredHypothesis
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.label_bonus import LabelBonus
from sb_alexa.transducer.language_model import LanguageModel
from sb_alexa.transducer.predictor import Predictor
from sb_alexa.transducer.search_input import frames_to_search

Phrases = Sequence[Sequence[Phrase]]


class BeamSearch:
    """Keep the K most probable label sequences, each summed over its alignments.

    Frame by frame, every hypothesis either takes the blank and waits for the next frame, or takes a
    label and goes round again, at most `max_symbols_per_frame` times: the search ends for any
    weights. Equal label sequences are merged, their probabilities added. Streams and hypotheses
    are one batch; streams do not influence each other, and chunks of any size give the result of
    the whole.

    Arguments
    ---------
    predictor : Predictor
        In evaluation mode, or its dropout makes the search random.
    joiner : Joiner
        Its projections and its output layer.
    beam_size : int
        K. 1 is `GreedySearch`, which takes neither language model nor phrases.
    num_hypotheses : int
        Results of each utterance that `n_best` returns, at most `beam_size`.
    blank_index : int
        The blank.
    max_symbols_per_frame : int
        Labels that may be emitted at one frame. Rounds without a promising label are skipped, so a
        high bound costs nothing. A low one costs accuracy: a model that keeps a phrase back and
        then emits it at once gives the blank, which the bound forces, next to no probability.
        (Greedy search goes on in the next frame, whatever the blank's probability.)
    pruning_margin : float
        Nats: a label is not tried where it falls behind the stream's best hypothesis by more.
        Infinity leaves the choice to `beam_size` alone.
    expansion_margin : float
        Nats: of the labels that may follow one hypothesis, those that fall behind the best by more
        are not tried.
    max_open_labels : int
        Labels on which the hypotheses of a stream may differ. Where one gets more, the stream
        settles on the best hypothesis, however old the difference; so memory is bounded.
    language_model : LanguageModel | None
        Shallow fusion, see `sb_alexa.transducer.language_model`.
    language_model_weight : float
        Factor of its log-probabilities.
    length_reward : float
        Nats for each label: a language model favours short results, which this makes up for.
    phrases : sequence of Phrase
        Favoured in every stream for which `initial_state` is not given its own.
    score_end_of_sentence : bool
        Let the language model score the end of an utterance too, in `finish` and `n_best`.

    Streaming
    ---------
    No look-ahead. Labels on which all hypotheses agree are given out; the state holds the K
    hypotheses with at most `max_open_labels` labels each.

    Raises
    ------
    ValueError
        If an argument is out of range or the parts disagree on the labels.

    Reference
    ---------
    Saon et al. 2020, "Alignment-length synchronous decoding for RNN transducer" (ICASSP), algorithm
    1 (time-synchronous decoding, after Graves 2012, arXiv 1211.3711). Deviations: expansions that
    fall behind the K-th best finished hypothesis are dropped at once, and rows are batched.

    Example
    -------
    >>> from sb_alexa.transducer.stateless_predictor import StatelessPredictor
    >>> predictor = StatelessPredictor(num_labels=3, embedding_size=3)
    >>> joiner = Joiner(encoder_size=3, predictor_size=3, num_labels=3)
    >>> for parameter in joiner.parameters():
    ...     _ = torch.nn.init.zeros_(parameter)
    >>> joiner.output.bias.data = torch.tensor([0.5, 0.3, 0.2]).log()  # whatever the frame
    >>> search = BeamSearch(
    ...     predictor=predictor,
    ...     joiner=joiner,
    ...     beam_size=4,
    ...     num_hypotheses=3,
    ...     max_symbols_per_frame=1,
    ... )
    >>> for one in search.n_best(torch.zeros(1, 2, 3))[0]:  # two frames
    ...     print(one.hypothesis.tokens, round(math.exp(one.score), 3))
    () 0.25
    (1,) 0.15
    (2,) 0.1
    >>> settled, state = search.forward_chunk(torch.zeros(1, 2, 3), search.initial_state(1))
    >>> settled[0].tokens, search.finish(state)[0].tokens
    ((), ())
    """

    def __init__(
        self,
        *,
        predictor: Predictor[Any],
        joiner: Joiner,
        beam_size: int = 4,
        num_hypotheses: int = 1,
        blank_index: int = 0,
        max_symbols_per_frame: int = 20,
        pruning_margin: float = math.inf,
        expansion_margin: float = math.inf,
        max_open_labels: int = 256,
        language_model: LanguageModel | None = None,
        language_model_weight: float = 0.0,
        length_reward: float = 0.0,
        score_end_of_sentence: bool = False,
        phrases: Sequence[Phrase] = (),
    ) -> None:
        _check_sizes(beam_size, num_hypotheses, max_open_labels, pruning_margin, expansion_margin)
        _check_bonus(
            beam_size,
            language_model,
            language_model_weight,
            length_reward,
            score_end_of_sentence,
        )
        if beam_size == 1 and phrases:
            raise ValueError("beam_size=1 is greedy search, which takes no phrases")
        self.phrases = tuple(phrases)
        self.predictor = predictor
        self.joiner = joiner
        self.blank_index = blank_index
        self.max_symbols_per_frame = max_symbols_per_frame
        self.beam_size = beam_size
        self.num_hypotheses = num_hypotheses
        self.max_open_labels = max_open_labels
        self._greedy = GreedySearch(
            predictor=predictor,
            joiner=joiner,
            blank_index=blank_index,
            max_symbols_per_frame=max_symbols_per_frame,
        )
        self._rules = Rules(
            predictor=predictor,
            joiner=joiner,
            bonus=LabelBonus(
                blank_index=blank_index,
                num_labels=joiner.num_labels,
                language_model=language_model,
                language_model_weight=language_model_weight,
                length_reward=length_reward,
                score_end_of_sentence=score_end_of_sentence,
            ),
            blank_index=blank_index,
            max_symbols_per_frame=max_symbols_per_frame,
            pruning_margin=pruning_margin,
            expansion_margin=expansion_margin,
        )

    @torch.no_grad()
    def initial_state(
        self, batch_size: int, phrases: Phrases | None = None
    ) -> BeamState | GreedyState:
        """The state before the first frame.

        Arguments
        ---------
        batch_size : int
            Number of streams.
        phrases : sequence | None
            The phrases of each stream, see `sb_alexa.transducer.biasing`.

        Returns
        -------
        BeamState
            On the predictor's device; that of `GreedySearch` with a beam of 1.

        Raises
        ------
        ValueError
            If the phrases are not one sequence for each stream, or naming a wrong one.
        """
        if phrases is not None and len(phrases) != batch_size:
            raise ValueError(
                f"phrases are given for {len(phrases)} streams, there are {batch_size}; give a "
                "sequence for each stream, empty where there are none"
            )
        if self.beam_size == 1:
            if phrases is not None:
                raise ValueError("beam_size=1 is greedy search, which takes no phrases")
            return self._greedy.initial_state(batch_size)
        tables: Any = ()
        if phrases is None and self.phrases:
            phrases = [self.phrases] * batch_size
        if phrases is not None:
            tables = phrase_tables(
                phrases,
                num_labels=self._rules.joiner.num_labels,
                blank_index=self._rules.blank_index,
            )
        return first_state(
            self._rules, batch_size, self.beam_size, self.max_open_labels, phrases=tables
        )

    @torch.no_grad()
    def forward_chunk(
        self,
        encoder_out: Tensor,
        state: BeamState | GreedyState,
        num_frames: Tensor | None = None,
    ) -> tuple[list[Hypothesis], BeamState | GreedyState]:
        """Search the next frames of every stream.

        Arguments
        ---------
        encoder_out : Tensor
            (B, T, C) encoder frames; T may be 0.
        state : BeamState
            From `initial_state` or the previous chunk; never changed in place.
        num_frames : Tensor | None
            (B,) integers in 0..T, the valid frames of each row; None means all. The others have no
            influence, whatever they hold.

        Returns
        -------
        list of Hypothesis
            For each row the labels on which its hypotheses have agreed since the last chunk. They
            are final; `finish` tells how the best hypothesis goes on from there.
        BeamState
            The state for the next chunk.

        Raises
        ------
        ValueError
            If shapes do not fit, or naming the row and frame where the scores are not a number.
        """
        if isinstance(state, GreedyState):
            return self._greedy.forward_chunk(encoder_out, state, num_frames)
        ends = frames_to_search("BeamSearch", encoder_out, num_rows(state), num_frames)
        if not any(ends):
            return [Hypothesis() for _ in ends], state
        return self._search(self._rules.joiner.project_encoder(encoder_out), ends, state)

    @torch.no_grad()
    def alternatives(self, state: BeamState | GreedyState) -> list[list[ScoredHypothesis]]:
        """What may follow the labels that a stream has given out, the best first.

        Arguments
        ---------
        state : BeamState
            Not changed: this can be asked after every chunk.

        Returns
        -------
        list of list of ScoredHypothesis
            At most `num_hypotheses` for each row. The scores are those of the whole stream, as if
            it ended here; greedy search has one without labels and a score of 0.
        """
        if isinstance(state, GreedyState):
            nothing = ScoredHypothesis(Hypothesis(), 0.0)
            return [[nothing] for _ in range(num_rows(state))]
        batch = len(state.score)
        stream = torch.arange(batch, device=state.score.device).repeat_interleave(self.beam_size)
        bonus = self._rules.bonus.final_scores(one_row_each(state.bonus), state.phrases, stream)
        # An end that the language model rules out must not make a hypothesis look empty.
        bonus = bonus.clamp(min=torch.finfo(bonus.dtype).min / 2)
        score, slot = (state.score + bonus.view_as(state.score)).sort(dim=1, descending=True)
        score, slot = score[:, : self.num_hypotheses], slot[:, : self.num_hypotheses]
        chosen = torch.arange(batch, device=slot.device)[:, None] * self.beam_size + slot
        labels = hypotheses(rows(one_row_each(state.labels), chosen.flatten()))
        found: list[list[ScoredHypothesis]] = [[] for _ in range(batch)]
        for number, (one, value) in enumerate(zip(labels, score.flatten().tolist(), strict=True)):
            if value > -math.inf:
                found[number // score.shape[1]].append(ScoredHypothesis(one, value))
        return found

    def finish(self, state: BeamState | GreedyState) -> list[Hypothesis]:
        """The labels still owed if the streams end here; also the partial result while they go on.

        Arguments
        ---------
        state : BeamState
            Not changed.

        Returns
        -------
        list of Hypothesis
            For each row what follows the labels given out.
        """
        return [ranked[0].hypothesis for ranked in self.alternatives(state)]

    def n_best(
        self,
        encoder_out: Tensor,
        num_frames: Tensor | None = None,
        *,
        phrases: Phrases | None = None,
    ) -> list[list[ScoredHypothesis]]:
        """Search whole utterances and rank the results.

        Arguments
        ---------
        encoder_out : Tensor
            (B, T, C).
        num_frames : Tensor | None
            (B,) integers in 0..T.
        phrases : sequence | None
            The phrases of each row.

        Returns
        -------
        list of list of ScoredHypothesis
            At most `num_hypotheses` for each row, the best first. Greedy search has one, whose
            score is the sum of its labels' log-probabilities.
        """
        state = self.initial_state(len(encoder_out), phrases)
        settled, state = self.forward_chunk(encoder_out, state, num_frames)
        if isinstance(state, GreedyState):
            return [[ScoredHypothesis(one, sum(one.log_probs))] for one in settled]
        return [
            [replace(one, hypothesis=first + one.hypothesis) for one in ranked]
            for first, ranked in zip(settled, self.alternatives(state), strict=True)
        ]

    def forward(
        self,
        encoder_out: Tensor,
        num_frames: Tensor | None = None,
        *,
        phrases: Phrases | None = None,
    ) -> list[Hypothesis]:
        """Search whole utterances.

        Arguments
        ---------
        encoder_out : Tensor
            (B, T, C).
        num_frames : Tensor | None
            (B,) integers in 0..T.
        phrases : sequence | None
            The phrases of each row.

        Returns
        -------
        list of Hypothesis
            The best one of each row.
        """
        ranked = self.n_best(encoder_out, num_frames, phrases=phrases)
        return [best[0].hypothesis for best in ranked]

    __call__ = forward

    def _search(
        self, frames: Tensor, ends: list[int], state: BeamState
    ) -> tuple[list[Hypothesis], BeamState]:
        """Search the projected frames (B, T, J) of all rows up to their ends."""
        beams = BeamFrames(self._rules, state, frames, torch.tensor(ends, device=frames.device))
        try:
            settled, state = beams.run()
        except NotANumberError as error:
            place = f"frame {beams.where(error.stream)} of this chunk in row {error.stream}"
            raise ValueError(
                f"the joiner's scores are NaN at {place}: the encoder's output or the model's "
                "weights hold NaN; check the audio for NaN samples and the checkpoint for a "
                "diverged training"
                if error.is_joiner
                else f"the language model's scores are NaN at {place}; check its weights and the "
                "index of its start symbol"
            ) from None
        found = [Hypothesis() for _ in ends]
        for row, labels in settled:
            found[row] += labels
        return found, state


def _check_sizes(
    beam_size: int,
    num_hypotheses: int,
    max_open_labels: int,
    pruning_margin: float,
    expansion_margin: float,
) -> None:
    if not 1 <= num_hypotheses <= beam_size:
        raise ValueError(
            "BeamSearch needs beam_size >= 1 and num_hypotheses in 1..beam_size, got "
            f"beam_size={beam_size} and num_hypotheses={num_hypotheses}"
        )
    if not pruning_margin > 0 or not expansion_margin > 0 or max_open_labels < 1:
        raise ValueError(
            "BeamSearch needs pruning_margin and expansion_margin > 0 nats (inf for no "
            f"pruning) and max_open_labels >= 1, got {pruning_margin}, {expansion_margin} and "
            f"{max_open_labels}"
        )


def _check_bonus(
    beam_size: int,
    language_model: LanguageModel | None,
    language_model_weight: float,
    length_reward: float,
    score_end_of_sentence: bool,
) -> None:
    if not math.isfinite(language_model_weight) or not math.isfinite(length_reward):
        raise ValueError(
            "language_model_weight and length_reward must be finite, got "
            f"{language_model_weight} and {length_reward}"
        )
    if language_model is None and (language_model_weight != 0 or score_end_of_sentence):
        raise ValueError(
            f"language_model_weight={language_model_weight} and score_end_of_sentence="
            f"{score_end_of_sentence} need a language_model; give one or leave both out"
        )
    if beam_size == 1 and (language_model is not None or length_reward != 0):
        raise ValueError(
            "beam_size=1 is greedy search, which takes no language model and no length_reward; "
            "use a beam_size of 2 or more"
        )
