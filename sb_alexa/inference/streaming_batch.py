"""Many live streams in one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.inference.recognizer import Recognizer, RecognizerState
from sb_alexa.inference.transcription import Transcript, Update
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.streaming.sample_buffer import SampleBuffer
from sb_alexa.streaming.state import cat, named_tensors, rows


class StreamingBatch:
    """Recognises many live streams together: each step advances all that have a whole chunk.

    The labels of a stream are those of a `StreamingSession` of its own; one step over a batch takes
    far less time than a step for each stream.

    Arguments
    ---------
    features, encoder, search, word_pieces, sample_rate
        As for `StreamingSession`.
    chunk_ms : float
        Audio that a step advances a stream by, in milliseconds, rounded up to whole hops of the
        model.

    Raises
    ------
    ValueError
        If a module is in training mode or the chunk is not positive.

    Example
    -------
    >>> from sb_alexa.corpora.word_pieces import train_word_pieces
    >>> from sb_alexa.encoders.rnn import LSTMEncoder
    >>> from sb_alexa.nn.log_mel import LogMel
    >>> from sb_alexa.transducer.greedy import GreedySearch
    >>> from sb_alexa.transducer.joiner import Joiner
    >>> from sb_alexa.transducer.stateless_predictor import StatelessPredictor
    >>> path = getfixture("tmp_path") / "word_pieces.model"
    >>> _ = train_word_pieces(["TEA TWO"], path, num_word_pieces=9, model_type="char")
    >>> word_pieces = WordPieces(path)
    >>> num_labels = word_pieces.num_labels
    >>> joiner = Joiner(encoder_size=4, predictor_size=4, num_labels=num_labels).eval()
    >>> predictor = StatelessPredictor(num_labels=num_labels, embedding_size=4).eval()
    >>> encoder = LSTMEncoder(input_size=8, num_layers=1, hidden_size=4, projection_size=None)
    >>> batch = StreamingBatch(
    ...     features=LogMel(n_mels=8).eval(),
    ...     encoder=encoder.eval(),
    ...     search=GreedySearch(predictor=predictor, joiner=joiner),
    ...     word_pieces=word_pieces,
    ...     chunk_ms=100,
    ... )
    >>> first, second = batch.add(), batch.add()
    >>> batch.push(first, torch.zeros(1700))
    >>> batch.push(second, torch.zeros(900))
    >>> list(batch.step())
    [0]
    >>> batch.finish(first)
    >>> batch.step()[first].is_final, batch.num_streams
    (True, 1)
    """

    def __init__(
        self,
        *,
        features: StreamingModule,
        encoder: StreamingModule,
        search: Any,
        word_pieces: WordPieces,
        sample_rate: int = 16000,
        chunk_ms: float = 150.0,
    ) -> None:
        if chunk_ms <= 0:
            raise ValueError(f"chunk_ms must be > 0, got {chunk_ms}")
        self._recognizer = Recognizer(
            features=features, encoder=encoder, search=search, sample_rate=sample_rate
        )
        step = self._recognizer.step_samples
        self.chunk_samples = step * -(-round(chunk_ms * sample_rate / 1000) // step)
        self._word_pieces = word_pieces
        self._streams: dict[int, _Stream] = {}
        self._groups: list[_Group] = []
        self._num_added = 0

    @property
    def num_streams(self) -> int:
        """Streams that are open or not yet fully recognised."""
        return len(self._streams)

    def add(self) -> int:
        """Open a stream.

        Returns
        -------
        int
            Its number, which is never used again.
        """
        number = self._num_added
        self._num_added += 1
        recognizer = self._recognizer
        self._streams[number] = _Stream(
            SampleBuffer(like=recognizer.features.zeros(0), sample_rate=recognizer.sample_rate),
            Transcript(self._word_pieces, recognizer.seconds_per_frame),
        )
        with torch.inference_mode():
            fresh = _Group([number], recognizer.initial_state(1))
            self._groups = _merged([*self._groups, fresh])
        return number

    def push(self, stream: int, samples: Tensor | np.ndarray) -> None:
        """Take the next samples of a stream; `step` recognises them.

        Arguments
        ---------
        stream : int
            From `add`.
        samples : Tensor | numpy.ndarray
            As for `StreamingSession.push`, with the same errors.
        """
        self._find(stream).samples.append(samples)

    def finish(self, stream: int) -> None:
        """Say that a stream has ended: steps recognise what is left of it and then remove it.

        Arguments
        ---------
        stream : int
            From `add`.
        """
        self._find(stream).samples.close()

    def remove(self, stream: int) -> None:
        """Drop a stream at once, together with its unrecognised samples.

        Arguments
        ---------
        stream : int
            From `add`.
        """
        self._find(stream)
        with torch.inference_mode():
            kept = [group.only([n for n in group.streams if n != stream]) for group in self._groups]
        self._groups = [group for group in kept if group.streams]
        del self._streams[stream]

    def step(self) -> dict[int, Update]:
        """Advance every stream that has a whole chunk, and complete those that have ended.

        Returns
        -------
        dict
            `Update` by stream, for the streams that advanced.
        """
        updates: dict[int, Update] = {}
        groups: list[_Group] = []
        with torch.inference_mode():
            for group in self._groups:
                streams = {number: self._streams[number].samples for number in group.streams}
                ready = [n for n, s in streams.items() if s.num_buffered >= self.chunk_samples]
                ending = [n for n, s in streams.items() if n not in ready and s.is_closed]
                waiting = [n for n in streams if n not in ready and n not in ending]
                if ready:
                    groups.append(self._advance(group.only(ready), updates))
                if waiting:
                    groups.append(group.only(waiting))
                if ending:
                    self._complete(group.only(ending), updates)
            self._groups = _merged(groups)
        return updates

    def _advance(self, group: _Group, updates: dict[int, Update]) -> _Group:
        streams = [self._streams[number] for number in group.streams]
        samples = torch.stack([stream.samples.take(self.chunk_samples) for stream in streams])
        found, state = self._recognizer.advance(samples, group.state)
        for number, stream, decoded in zip(group.streams, streams, found.hypotheses, strict=True):
            updates[number] = stream.update(decoded)
        return _Group(group.streams, state)

    def _complete(self, group: _Group, updates: dict[int, Update]) -> None:
        streams = [self._streams.pop(number) for number in group.streams]
        rests = [stream.samples.take_all() for stream in streams]
        num_samples = torch.tensor([len(rest) for rest in rests], device=rests[0].device)
        samples = torch.nn.utils.rnn.pad_sequence(rests, batch_first=True)
        found = self._recognizer.finish(samples, num_samples, group.state)
        for number, stream, decoded in zip(group.streams, streams, found.hypotheses, strict=True):
            updates[number] = stream.update(decoded, is_final=True)

    def _find(self, stream: int) -> _Stream:
        if stream not in self._streams:
            raise ValueError(
                f"there is no stream {stream}: it was never added, or has ended; "
                "open one with add()"
            )
        return self._streams[stream]


@dataclass(frozen=True)
class _Stream:
    """What has come in and what has been recognised of one stream."""

    samples: SampleBuffer
    transcript: Transcript

    def update(self, decoded: Any, is_final: bool = False) -> Update:
        audio_s = self.samples.audio_s
        return self.transcript.update([decoded], audio_s=audio_s, is_final=is_final)


@dataclass(frozen=True)
class _Group:
    """Streams whose states have one shape and lie in one batch, a row for each."""

    streams: list[int]
    state: RecognizerState

    def only(self, streams: list[int]) -> _Group:
        if streams == self.streams or not streams:
            return _Group(streams, self.state)
        index = torch.tensor([self.streams.index(number) for number in streams])
        return _Group(streams, rows(self.state, index))


def _merged(groups: list[_Group]) -> list[_Group]:
    """Put together what can be batched: all, unless states grow with the age of a stream."""
    if len(groups) < 2:
        return groups
    by_shape: dict[Any, list[_Group]] = {}
    for group in groups:
        shape = tuple(tensor.shape[1:] for _, tensor in named_tensors(group.state))
        by_shape.setdefault(shape, []).append(group)
    return [
        _Group([n for one in alike for n in one.streams], cat([one.state for one in alike]))
        for alike in by_shape.values()
    ]
