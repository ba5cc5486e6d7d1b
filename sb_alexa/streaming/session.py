"""Live audio in, words out: the one place where samples are buffered."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.inference.recognizer import Recognizer
from sb_alexa.inference.transcription import TimedWord, Transcript, Update
from sb_alexa.streaming.module import StreamingModule

# A long push is processed in parts of this length, so that memory does not grow with it.
_LONGEST_PART_S = 2.0


class StreamingSession:
    """Recognises one stream of audio as it arrives, in pieces of any length.

    Any cutting of a recording gives the labels of the offline pass.

    Arguments
    ---------
    features : StreamingModule
        Front end, samples to frames.
    encoder : StreamingModule
        Frames to frames. An encoder with an attribute `chunk_frames` is given exactly that many
        frames at a time.
    search : GreedySearch | BeamSearch
        Encoder frames to labels.
    word_pieces : WordPieces
        Labels to text.
    sample_rate : int
        Samples per second of the model.

    Streaming
    ---------
    Holds less than one hop of samples and the states of the modules: constant memory, however long
    the stream. (The transcript itself grows.)

    Raises
    ------
    ValueError
        If a module is in training mode.

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
    >>> session = StreamingSession(
    ...     features=LogMel(n_mels=8).eval(),
    ...     encoder=encoder.eval(),
    ...     search=GreedySearch(predictor=predictor, joiner=joiner),
    ...     word_pieces=word_pieces,
    ... )
    >>> updates = [session.push(samples) for samples in torch.zeros(16000).split(2560)]
    >>> [round(update.audio_s, 2) for update in updates]
    [0.16, 0.32, 0.48, 0.64, 0.8, 0.96, 1.0]
    >>> last = session.finish()
    >>> last.is_final and last.text == session.text
    True
    """

    def __init__(
        self,
        *,
        features: StreamingModule,
        encoder: StreamingModule,
        search: Any,
        word_pieces: WordPieces,
        sample_rate: int = 16000,
    ) -> None:
        self._recognizer = Recognizer(
            features=features, encoder=encoder, search=search, sample_rate=sample_rate
        )
        self._stream = LiveStream(self._recognizer, word_pieces)
        with torch.inference_mode():
            self._state = self._recognizer.initial_state(1)

    @property
    def text(self) -> str:
        """The whole transcript so far."""
        return self._stream.transcript.text

    @property
    def words(self) -> tuple[TimedWord, ...]:
        """All words so far, the unfinished one included."""
        return self._stream.words

    def push(self, samples: Tensor | np.ndarray) -> Update:
        """Take the next samples and recognise what they complete.

        Arguments
        ---------
        samples : Tensor | numpy.ndarray
            (N,) floating point in [-1, 1] at the model's sample rate; N may be 0.

        Returns
        -------
        Update
            New word pieces and words with times, and the text so far.

        Raises
        ------
        TypeError
            If the samples are not floating point numbers.
        ValueError
            If they are not one channel, a sample is NaN or infinite (the message says which), or
            the session is finished. Nothing of a refused push is taken: the session goes on as if
            it had not happened.
        """
        self._stream.append(samples)
        return self._stream.update(self._recognize_steps())

    def finish(self) -> Update:
        """Recognise the rest, its last hop completed with zeros, and close the session.

        Returns
        -------
        Update
            The last word pieces and words; `is_final` is True.

        Raises
        ------
        ValueError
            If the session is finished already.
        """
        self._stream.close()
        decoded = self._recognize_steps()
        samples = self._stream.take_all()[None]
        num_samples = torch.tensor([samples.shape[1]], device=samples.device)
        with torch.inference_mode():
            rest = self._recognizer.finish(samples, num_samples, self._state)
        decoded += rest.hypotheses
        return self._stream.update(decoded, is_final=True)

    def _recognize_steps(self) -> list[Any]:
        decoded = []
        step = self._recognizer.step_samples
        steps_at_once = max(int(_LONGEST_PART_S * self._recognizer.sample_rate) // step, 1)
        with torch.inference_mode():
            while num_steps := min(self._stream.num_buffered // step, steps_at_once):
                samples = self._stream.take(num_steps * step)[None]
                found, self._state = self._recognizer.advance(samples, self._state)
                decoded += found.hypotheses
        return decoded


class LiveStream:
    """The buffer and the transcript of one stream.

    Arguments
    ---------
    recognizer : Recognizer
        What the samples are for.
    word_pieces : WordPieces
        Labels to text.
    """

    def __init__(self, recognizer: Recognizer, word_pieces: WordPieces) -> None:
        self.transcript = Transcript(word_pieces, recognizer.seconds_per_frame)
        self.is_closed = False
        self._sample_rate = recognizer.sample_rate
        self._buffer = recognizer.features.zeros(0)
        self._num_samples = 0

    @property
    def num_buffered(self) -> int:
        """Samples waiting."""
        return len(self._buffer)

    @property
    def words(self) -> tuple[TimedWord, ...]:
        """All words so far, the unfinished one included."""
        last = self.transcript.open_word
        return (*self.transcript.words, *([last] if last else []))

    def append(self, samples: Tensor | np.ndarray) -> None:
        """Check samples and let them wait."""
        if self.is_closed:
            raise ValueError(
                "the session is finished and takes no more samples; "
                "open another one for the next recording"
            )
        new = self._checked(samples)
        self._num_samples += len(new)
        self._buffer = torch.cat([self._buffer, new.to(self._buffer)])

    def close(self) -> None:
        """Take no more samples."""
        if self.is_closed:
            raise ValueError("the session is finished already; open another one")
        self.is_closed = True

    def take(self, num_samples: int) -> Tensor:
        """Remove the first samples that wait."""
        taken, rest = self._buffer[:num_samples], self._buffer[num_samples:]
        # A copy: a view would keep all of a long push in memory.
        self._buffer = rest.clone() if len(rest) < num_samples else rest
        return taken

    def take_all(self) -> Tensor:
        """Remove all samples that wait."""
        return self.take(len(self._buffer))

    def update(self, decoded: list[Any], is_final: bool = False) -> Update:
        """Append what was recognised to the transcript, and close it with the stream."""
        num_before = len(self.transcript.words)
        tokens = [token for one in decoded for token in self.transcript.add(one)]
        if is_final:
            self.transcript.finish()
        return Update(
            tokens=tuple(tokens),
            words=tuple(self.transcript.words[num_before:]),
            text=self.transcript.text,
            audio_s=self._num_samples / self._sample_rate,
            is_final=is_final,
        )

    def _checked(self, samples: Tensor | np.ndarray) -> Tensor:
        if not isinstance(samples, (Tensor, np.ndarray)):
            raise TypeError(
                f"samples are a torch tensor or a numpy array, got {type(samples).__name__}"
            )
        new = torch.as_tensor(samples).detach()
        if not new.is_floating_point():
            raise TypeError(
                f"samples are floating point numbers in [-1, 1], got {new.dtype}; "
                "divide 16-bit integers by 32768"
            )
        if new.dim() != 1:
            raise ValueError(
                f"samples are one channel of shape (N,), got {tuple(new.shape)}; "
                "average the channels, or open a session for each"
            )
        finite = new.isfinite()
        if not bool(finite.all()):
            first = int((~finite).nonzero()[0])
            position = self._num_samples + first
            raise ValueError(
                f"sample {first} of this push is {new[first].item()}, at "
                f"{position / self._sample_rate:.3f} s of the stream; replace what is not finite "
                "(0.0 is silence) and push again"
            )
        return new
