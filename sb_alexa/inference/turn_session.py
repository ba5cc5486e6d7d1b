"""Live audio of several talkers in, turns and words out."""

from __future__ import annotations

from typing import Any

from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.inference.recognition_session import RecognitionSession
from sb_alexa.inference.turn_transcription import TurnTranscript, TurnUpdate
from sb_alexa.multitalker.turn_tokens import TurnTokens
from sb_alexa.streaming.module import StreamingModule
from sb_alexa.transducer.channel_search import ChannelSearch


class TurnSession(RecognitionSession[TurnUpdate]):
    """Recognises who says what when in one stream of audio as it arrives, in pieces of any length.

    Any cutting of a recording gives the events of the offline pass: those of each channel in the
    same order, with the same times. How the channels' events alternate depends on what a push
    completes: `events_in_order` over all of them takes that away.

    Arguments
    ---------
    features : StreamingModule
        Front end, samples to frames.
    encoder : StreamingModule
        Frames to frames of each channel. An encoder with an attribute `chunk_frames` is given
        exactly that many frames at a time.
    search : ChannelSearch
        Encoder frames to labels of each channel.
    word_pieces : WordPieces
        Labels to text.
    tokens : TurnTokens
        Labels of the turn tokens.
    sample_rate : int
        Samples per second of the model.

    Streaming
    ---------
    Holds less than one hop of samples, the states of the modules and the unfinished word of each
    channel: constant memory, however long the stream or one of its turns. What was reported is not
    kept; `sb_alexa.multitalker.turn_events.turns_from_events` makes turns of the events.

    Raises
    ------
    ValueError
        If a module is in training mode.

    Example
    -------
    >>> import torch
    >>> from sb_alexa.corpora.word_pieces import train_word_pieces
    >>> from sb_alexa.encoders.rnn import LSTMEncoder
    >>> from sb_alexa.encoders.separation import SeparationEncoder
    >>> from sb_alexa.nn.log_mel import LogMel
    >>> from sb_alexa.transducer.greedy import GreedySearch
    >>> from sb_alexa.transducer.joiner import Joiner
    >>> from sb_alexa.transducer.stateless_predictor import StatelessPredictor
    >>> path = getfixture("tmp_path") / "word_pieces.model"
    >>> num_pieces = train_word_pieces(["TEA TWO"], path, num_word_pieces=9, model_type="char")
    >>> tokens = TurnTokens(num_pieces)
    >>> def part(input_size):
    ...     return LSTMEncoder(
    ...         input_size=input_size, num_layers=1, hidden_size=4, projection_size=None
    ...     )
    >>> encoder = SeparationEncoder(
    ...     mixture=part(8), separation=[part(4), part(4)], recognition=part(4)
    ... )
    >>> joiner = Joiner(encoder_size=4, predictor_size=4, num_labels=tokens.num_labels).eval()
    >>> joiner.output.bias.data[0] = 9.0  # nobody speaks
    >>> predictor = StatelessPredictor(num_labels=tokens.num_labels, embedding_size=4).eval()
    >>> session = TurnSession(
    ...     features=LogMel(n_mels=8).eval(),
    ...     encoder=encoder.eval(),
    ...     search=ChannelSearch(search=GreedySearch(predictor=predictor, joiner=joiner)),
    ...     word_pieces=WordPieces(path),
    ...     tokens=tokens,
    ... )
    >>> session.push(torch.zeros(2560))
    TurnUpdate(events=(), audio_s=0.16, is_final=False)
    >>> session.finish().is_final
    True
    """

    def __init__(
        self,
        *,
        features: StreamingModule,
        encoder: StreamingModule,
        search: ChannelSearch,
        word_pieces: WordPieces,
        tokens: TurnTokens,
        sample_rate: int = 16000,
    ) -> None:
        super().__init__(features=features, encoder=encoder, search=search, sample_rate=sample_rate)
        self._transcript = TurnTranscript(
            word_pieces,
            tokens,
            num_channels=search.num_channels,
            seconds_per_frame=self._recognizer.seconds_per_frame,
        )

    def _update(self, decoded: list[Any], audio_s: float, is_final: bool) -> TurnUpdate:
        return self._transcript.update(decoded, audio_s=audio_s, is_final=is_final)
