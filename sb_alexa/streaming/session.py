"""Live audio in, words out."""

from __future__ import annotations

from typing import Any

from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.inference.recognition_session import RecognitionSession
from sb_alexa.inference.transcription import TimedWord, Transcript, Update
from sb_alexa.streaming.module import StreamingModule


class StreamingSession(RecognitionSession[Update]):
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
    >>> import torch
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
        super().__init__(features=features, encoder=encoder, search=search, sample_rate=sample_rate)
        self._transcript = Transcript(word_pieces, self._recognizer.seconds_per_frame)

    @property
    def text(self) -> str:
        """The whole transcript so far."""
        return self._transcript.text

    @property
    def words(self) -> tuple[TimedWord, ...]:
        """All words so far, the unfinished one included."""
        last = self._transcript.open_word
        return (*self._transcript.words, *([last] if last else []))

    def _update(self, decoded: list[Any], audio_s: float, is_final: bool) -> Update:
        return self._transcript.update(decoded, audio_s=audio_s, is_final=is_final)
