"""The searches of this package behind the interface of SpeechBrain's transducer searcher."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sb_alexa.lengths import absolute_lengths
from sb_alexa.streaming.state import State, map_tensors
from sb_alexa.transducer.beam import BeamSearch
from sb_alexa.transducer.hypothesis import ScoredHypothesis
from sb_alexa.transducer.speechbrain_language_model import as_language_model


class TransducerBeamSearcher(nn.Module):
    """Takes the place of `speechbrain.decoders.transducer.TransducerBeamSearcher` in a YAML.

    What differs: utterances and hypotheses are one batch; the search ends for any weights; equal
    label sequences are merged; given lengths, padding is not decoded; the best result is the most
    probable one, not the one with the largest mean per label.

    Arguments
    ---------
    decode_network_lst : list of Module
        Layers of the prediction network. Those whose `forward` has an argument `hx` return
        ``(output, hidden)`` with hidden states (layers, B, H) or tuples of such; the others see one
        label at a time.
    tjoint : Module
        Called with (N, 1, 1, C) encoder frames and (N, 1, 1, P) outputs of the prediction network.
    classifier_network : list of Module
        Layers from the joint to (N, 1, 1, V) logits.
    blank_id : int
        The blank, also the first input of the prediction network.
    beam_size : int
        Up to 1: greedy search.
    nbest : int
        Results of each utterance, `beam_size` at most.
    lm_module : object | None
        What `as_language_model` takes; its sentences begin with the blank.
    lm_weight : float
        Factor of the language model's log-probabilities; 0 for none.
    state_beam : float
        `pruning_margin` of `BeamSearch`, nats.
    expand_beam : float
        `expansion_margin` of `BeamSearch`, nats.
    max_symbols_per_frame : int
        Labels that may be emitted at one frame.

    Raises
    ------
    ValueError
        If a weight is given without a language model, or as `BeamSearch` does.

    Example
    -------
    >>> searcher = TransducerBeamSearcher(
    ...     decode_network_lst=[nn.Embedding(3, 4), nn.LSTM(4, 4, batch_first=True)],
    ...     tjoint=nn.Bilinear(4, 4, 4),
    ...     classifier_network=[nn.Linear(4, 3)],
    ...     blank_id=0,
    ... )
    >>> best, score, nbest, scores = searcher(torch.zeros(2, 5, 4), torch.tensor([1.0, 0.4]))
    >>> best == [ranked[0] for ranked in nbest], [len(ranked) for ranked in scores]
    (True, [4, 4])
    """

    def __init__(
        self,
        decode_network_lst: Sequence[nn.Module],
        tjoint: nn.Module,
        classifier_network: Sequence[nn.Module],
        blank_id: int,
        beam_size: int = 4,
        nbest: int = 5,
        lm_module: Any = None,
        lm_weight: float = 0.0,
        state_beam: float = 2.3,
        expand_beam: float = 2.3,
        max_symbols_per_frame: int = 20,
    ) -> None:
        super().__init__()
        if lm_module is None and lm_weight > 0:
            raise ValueError(f"lm_weight={lm_weight} needs an lm_module; give one, or the weight 0")
        self.decode_network_lst = decode_network_lst
        self.tjoint = tjoint
        self.classifier_network = classifier_network
        self.blank_id = blank_id
        self.beam_size = max(beam_size, 1)
        self.nbest = nbest
        self.lm = lm_module
        self.lm_weight = lm_weight
        self.state_beam = state_beam
        self.expand_beam = expand_beam
        self.max_symbols_per_frame = max_symbols_per_frame

    def forward(
        self, tn_output: Tensor, lens: Tensor | None = None
    ) -> tuple[list[list[int]], Tensor, list[Any] | None, list[Any] | None]:
        """Search a batch.

        Arguments
        ---------
        tn_output : Tensor
            (B, T, C) outputs of the transcription network.
        lens : Tensor | None
            (B,) relative lengths; None decodes all frames.

        Returns
        -------
        list
            Labels of the best result of each utterance.
        Tensor
            Mean over the batch of the probability that the best result's score stands for.
        list | None
            Labels of the results of each utterance; None for greedy search.
        list | None
            Their scores: log-probability over the number of labels plus 1, as SpeechBrain has it.
            The results are in the order of the log-probability itself. None for greedy search.
        """
        num_frames = None if lens is None else absolute_lengths(lens, tn_output.shape[1])
        ranked = self._search(tn_output, self.beam_size).n_best(tn_output, num_frames)
        best = [list(results[0].hypothesis.tokens) for results in ranked]
        if self.beam_size == 1:
            scores = torch.tensor([results[0].score for results in ranked])
            return best, scores.exp().mean(), None, None
        labels = [[list(one.hypothesis.tokens) for one in results] for results in ranked]
        means = [[_mean_score(one) for one in results] for results in ranked]
        return best, torch.tensor([scores[0] for scores in means]).exp().mean(), labels, means

    def transducer_greedy_decode_streaming(self, x: Tensor, context: Any) -> list[list[int]]:
        """Greedy search of the next chunk of some streams, as SpeechBrain's streaming calls it.

        Arguments
        ---------
        x : Tensor
            (B, T, C).
        context : object
            Its attribute `hidden` holds the state between chunks; None before the first.

        Returns
        -------
        list
            The new labels of each stream.
        """
        search = self._search(x, beam_size=1)
        if context.hidden is None:
            context.hidden = search.initial_state(len(x))
        found, context.hidden = search.forward_chunk(x, context.hidden)
        return [list(one.tokens) for one in found]

    @torch.no_grad()
    def _search(self, tn_output: Tensor, beam_size: int) -> BeamSearch:
        """Made at each call: it costs little, and the layers may have been replaced or moved."""
        predictor = _NetworkPredictor(self.decode_network_lst, self.blank_id, tn_output.device)
        joiner = _NetworkJoiner(self.tjoint, self.classifier_network)
        first = predictor.start(1)[0]
        joiner.num_labels = joiner(tn_output.new_zeros(1, 1, tn_output.shape[-1]), first).shape[-1]
        predictor.num_labels = joiner.num_labels
        has_model = beam_size > 1 and self.lm_weight > 0
        model = as_language_model(self.lm, start_index=self.blank_id) if has_model else None
        return BeamSearch(
            predictor=predictor,  # type: ignore[arg-type]
            joiner=joiner,  # type: ignore[arg-type]
            beam_size=beam_size,
            num_hypotheses=min(self.nbest, beam_size),
            blank_index=self.blank_id,
            max_symbols_per_frame=self.max_symbols_per_frame,
            pruning_margin=self.state_beam,
            expansion_margin=self.expand_beam,
            language_model=model,
            language_model_weight=self.lm_weight if has_model else 0.0,
        )


def _mean_score(result: ScoredHypothesis) -> float:
    return result.score / (len(result.hypothesis) + 1)


@dataclass(frozen=True)
class _NetworkState(State):
    """The last label (N,), and what the recurrent layers remember, rows first."""

    label: Tensor
    hidden: Any


class _NetworkPredictor:
    """A list of layers as a predictor."""

    num_labels: int

    def __init__(self, layers: Sequence[nn.Module], blank_index: int, device: torch.device) -> None:
        self.blank_index = blank_index
        self._layers = layers
        self._device = device
        self._is_recurrent = ["hx" in inspect.signature(one.forward).parameters for one in layers]

    def start(self, batch_size: int) -> tuple[Tensor, _NetworkState]:
        labels = torch.full((batch_size, 1), self.blank_index, device=self._device)
        return self._run(labels, [None] * sum(self._is_recurrent))

    def forward_chunk(self, x: Tensor, state: _NetworkState) -> tuple[Tensor, _NetworkState]:
        return self._run(x, [map_tensors(_swapped, hidden) for hidden in state.hidden])

    def _run(self, labels: Tensor, hidden: list[Any]) -> tuple[Tensor, _NetworkState]:
        before, after = iter(hidden), []
        y = labels
        for layer, is_recurrent in zip(self._layers, self._is_recurrent, strict=True):
            if is_recurrent:
                y, state = layer(y, next(before))
                after.append(map_tensors(_swapped, state))
            else:
                y = layer(y)
        return y, _NetworkState(labels[:, -1], tuple(after))


class _NetworkJoiner:
    """Joint and output layers as a joiner."""

    num_labels: int

    def __init__(self, joint: nn.Module, layers: Sequence[nn.Module]) -> None:
        self._joint = joint
        self._layers = layers

    def project_encoder(self, encoder_out: Tensor) -> Tensor:
        return encoder_out

    def project_predictor(self, predictor_out: Tensor) -> Tensor:
        return predictor_out

    def __call__(self, encoder_part: Tensor, predictor_part: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(encoder_part.shape[:-1], predictor_part.shape[:-1])
        sides = (
            part.expand(*shape, -1).reshape(-1, 1, 1, part.shape[-1])
            for part in (encoder_part, predictor_part)
        )
        y = self._joint(*sides)
        for layer in self._layers:
            y = layer(y)
        return y.view(*shape, y.shape[-1])


def _swapped(tensor: Tensor) -> Tensor:
    """(layers, N, H) to (N, layers, H), and back."""
    return tensor.transpose(0, 1).contiguous()
