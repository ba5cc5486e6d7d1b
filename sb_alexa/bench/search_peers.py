"""SpeechBrain's transducer search over the weights of our modules."""

from __future__ import annotations

import torch
from speechbrain.decoders.transducer import TransducerBeamSearcher
from speechbrain.nnet.embedding import Embedding
from speechbrain.nnet.linear import Linear
from speechbrain.nnet.RNN import LSTM
from speechbrain.nnet.transducer.transducer_joint import Transducer_joint
from torch import Tensor, nn

from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.lstm_predictor import LSTMPredictor

# Labels that its greedy search emits at a frame at most: it counts to 5 inclusively.
GREEDY_SYMBOLS_PER_FRAME = 6


class SpeechBrainSearch:
    """`TransducerBeamSearcher` as SpeechBrain's recipe uses it, with copied weights.

    Arguments
    ---------
    predictor : LSTMPredictor
        Without layer norm and dropout.
    joiner : Joiner
        Which adds the two sides.
    beam_size : int
        1 for its greedy search.

    Raises
    ------
    ValueError
        If the modules have parts that are not copied.
    """

    def __init__(
        self, *, predictor: LSTMPredictor, joiner: Joiner, beam_size: int, blank_index: int = 0
    ) -> None:
        if not isinstance(predictor.norm, nn.Identity) or predictor.dropout.p > 0:
            raise ValueError("the predictor must have neither layer norm nor dropout")
        self.copied = predictor, joiner
        weight = predictor.embedding.weight
        embedding = Embedding(num_embeddings=len(weight), embedding_dim=weight.shape[1])
        embedding.Embedding.load_state_dict(predictor.embedding.state_dict())
        lstm = LSTM(
            hidden_size=predictor.lstm.hidden_size,
            input_size=predictor.lstm.input_size,
            num_layers=predictor.lstm.num_layers,
        )
        lstm.rnn.load_state_dict(predictor.lstm.state_dict())
        self.project_encoder = _copies(joiner.encoder_projection)
        self.predictor = nn.ModuleList(
            [
                embedding,
                lstm,
                *_copies(predictor.projection),
                *_copies(joiner.predictor_projection),
            ]
        )
        self.joint = Transducer_joint(joint="sum", nonlinearity=lambda: joiner.activation)
        self.output = _copies(joiner.output)
        self.searcher = TransducerBeamSearcher(
            decode_network_lst=self.predictor,
            tjoint=self.joint,
            classifier_network=self.output,
            blank_id=blank_index,
            beam_size=beam_size,
            nbest=1,
        ).eval()

    @torch.no_grad()
    def __call__(self, encoder_out: Tensor) -> list[tuple[int, ...]]:
        """Labels of each row of (B, T, C) frames; padded frames are searched too."""
        for layer in self.project_encoder:
            encoder_out = layer(encoder_out)
        return [tuple(tokens) for tokens in self.searcher(encoder_out)[0]]

    @torch.no_grad()
    def difference(self, encoder_out: Tensor, targets: Tensor) -> float:
        """How far SpeechBrain's logits are from those of the modules they were copied from.

        Arguments
        ---------
        encoder_out : Tensor
            (B, T, C).
        targets : Tensor
            (B, U) labels, of which all beginnings are tried.

        Returns
        -------
        float
            The largest difference, relative to the largest of our logits.
        """
        predictor, joiner = self.copied
        frames = joiner.project_encoder(encoder_out)
        histories = joiner.project_predictor(predictor.all_histories(targets))
        ours = joiner(frames[:, :, None], histories[:, None])
        for layer in self.project_encoder:
            encoder_out = layer(encoder_out)
        start = targets.new_full((len(targets), 1), self.searcher.blank_id)
        predicted, _ = self.searcher._forward_PN(torch.cat([start, targets], 1), self.predictor)
        joint = self.joint(encoder_out[:, :, None], predicted[:, None])
        theirs = self.searcher._forward_after_joint(joint, self.output)
        return float((ours - theirs).abs().max() / ours.abs().max())


def _copies(layer: nn.Module) -> nn.ModuleList:
    """SpeechBrain's linear layer with the weights of ours; nothing for the identity."""
    if isinstance(layer, nn.Identity):
        return nn.ModuleList()
    if not isinstance(layer, nn.Linear):
        raise ValueError(f"cannot copy a {type(layer).__name__} into SpeechBrain's modules")
    copy = Linear(
        n_neurons=layer.out_features, input_size=layer.in_features, bias=layer.bias is not None
    )
    copy.w.load_state_dict(layer.state_dict())
    return nn.ModuleList([copy])
