"""SpeechBrain's own searcher and ours, from the same YAML and on the same models."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.decoders import transducer as theirs
from torch import Tensor, nn

from sb_alexa.transducer import speechbrain_searcher as ours

V = 7
# As in SpeechBrain's LibriSpeech recipe for transducers; the searcher is filled in.
YAML = """
blank_index: 0
enc: !new:speechbrain.nnet.linear.Linear {{input_size: 9, n_neurons: 7}}
emb: !new:speechbrain.nnet.embedding.Embedding
    num_embeddings: 7
    consider_as_one_hot: True
    blank_id: !ref <blank_index>
dec: !new:speechbrain.nnet.RNN.{rnn}
    input_shape: [null, null, 6]
    hidden_size: 6
    num_layers: 1
    re_init: True
proj_dec: !new:speechbrain.nnet.linear.Linear {{input_size: 6, n_neurons: 7, bias: False}}
Tjoint: !new:speechbrain.nnet.transducer.transducer_joint.Transducer_joint
    joint: sum
    nonlinearity: !name:torch.nn.LeakyReLU
transducer_lin: !new:speechbrain.nnet.linear.Linear {{input_size: 7, n_neurons: 7, bias: False}}
lm_model: !new:speechbrain.lobes.models.RNNLM.RNNLM
    output_neurons: 7
    embedding_dim: 4
    rnn_layers: 1
    rnn_neurons: 5
    dnn_neurons: 5
    dropout: 0.0
    return_hidden: True
searcher: !new:{searcher}
    decode_network_lst: [!ref <emb>, !ref <dec>, !ref <proj_dec>]
    tjoint: !ref <Tjoint>
    classifier_network: [!ref <transducer_lin>]
    blank_id: !ref <blank_index>
    beam_size: {beam_size}
    nbest: {beam_size}
    lm_module: !ref <lm_model>
    lm_weight: {lm_weight}
    state_beam: 2.3
    expand_beam: 2.3
"""


def build(module: Any, beam_size: int, rnn: str = "GRU", lm_weight: float = 0.0) -> dict[str, Any]:
    """The same weights from the same seed."""
    torch.manual_seed(1)
    name = f"{module.__name__}.TransducerBeamSearcher"
    parts = load_hyperpyyaml(
        YAML.format(searcher=name, beam_size=beam_size, rnn=rnn, lm_weight=lm_weight)
    )
    parts["lm_model"].eval()
    with torch.no_grad():
        parts["transducer_lin"].w.weight.copy_(torch.eye(V))
        # A label that has been emitted, or was lately, is inhibited.
        weight = torch.zeros(V, V - 1)
        weight[1:] = -40.0 * torch.eye(V - 1)
        parts["proj_dec"].w.weight.copy_(weight)
        for key, value in parts["dec"].rnn.named_parameters():
            value.mul_(0.1)
            if key == "weight_ih_l0":
                value[-V + 1 :] += 4.0 * torch.eye(V - 1)  # a GRU's candidate, an RNN's input
    return parts


def spoken(labels: list[int], gap_frames: int = 3) -> Tensor:
    """(T, V) encoder frames: the blank, and each label for one frame."""
    frames = torch.zeros(gap_frames * (len(labels) + 1), V)
    frames[:, 0] = 8.0
    for place, label in enumerate(labels):
        frames[gap_frames * (place + 1) - 1, label] = 15.0
    return frames + torch.randn(frames.shape)


TEXTS = [[1, 4, 2, 6, 3], [5, 1], [3, 2, 5]]


@pytest.mark.parametrize("rnn", ["GRU", "RNN"])
@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_peaky_model_gives_the_same_labels(beam_size: int, rnn: str) -> None:
    frames = [spoken(text) for text in TEXTS]
    mine, other = (build(module, beam_size, rnn)["searcher"] for module in (ours, theirs))
    for row, text in zip(frames, TEXTS, strict=True):
        found, score, nbest, scores = mine(row[None])
        expected, their_score, their_nbest, their_scores = other(row[None])
        assert found == expected == [text]
        assert score.shape == their_score.shape == ()
        assert float(score) == pytest.approx(float(their_score), rel=0.01)
        if beam_size == 1:
            assert nbest is scores is their_nbest is their_scores is None
        else:
            assert nbest[0][0] == their_nbest[0][0] == text
            assert scores[0][0] == pytest.approx(float(their_scores[0][0]), abs=0.01)
            assert len(nbest[0]) == len(scores[0]) <= 4


def test_padding_is_decoded_without_lengths_only() -> None:
    rows = [spoken(text) for text in TEXTS]
    frames = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    frames[1, len(rows[1]) :] = spoken([2, 3, 4, 6])[: frames.shape[1] - len(rows[1])]
    lens = torch.tensor([len(row) / frames.shape[1] for row in rows])
    for beam_size in (1, 4):
        searcher = build(ours, beam_size)["searcher"]
        assert searcher(frames, lens)[0] == TEXTS
        assert searcher(frames)[0][1] != TEXTS[1]


def test_language_model_takes_part_as_in_speechbrain() -> None:
    """Two labels sound alike; the language model's favourite wins, with the same weight."""
    frames = spoken([2, 5])[None]
    frames[0, 2, 3] = frames[0, 2, 2] + 0.3
    results = []
    for module in (ours, theirs):
        for weight in (0.0, 2.0):
            parts = build(module, 4, lm_weight=weight)
            with torch.no_grad():
                for parameter in parts["lm_model"].out.parameters():
                    parameter.zero_()
                parts["lm_model"].out.w.bias[2] = 3.0
                parts["proj_dec"].w.weight[2:4, 1:3] = -40.0  # either silences both
            results.append(parts["searcher"](frames)[0])
    assert results == [[[3, 5]], [[2, 5]]] * 2


def test_greedy_search_streams_as_speechbrain_calls_it() -> None:
    rows = spoken(TEXTS[0])[None]
    for module in (ours, theirs):
        searcher = build(module, 4)["searcher"]
        context = theirs.TransducerGreedySearcherStreamingContext()
        found: list[int] = []
        for chunk in rows.split(4, dim=1):
            found += searcher.transducer_greedy_decode_streaming(chunk, context)[0]
        assert found == TEXTS[0]


def test_concatenating_joint_and_stateless_network() -> None:
    """SpeechBrain's greedy search fails without a recurrent layer."""
    from speechbrain.nnet.embedding import Embedding
    from speechbrain.nnet.linear import Linear
    from speechbrain.nnet.transducer.transducer_joint import Transducer_joint

    arguments = {
        "decode_network_lst": [Embedding(V, embedding_dim=5)],
        "tjoint": Transducer_joint(Linear(n_neurons=6, input_size=9), joint="concat"),
        "classifier_network": [Linear(n_neurons=V, input_size=6)],
        "blank_id": 0,
    }
    frames = 3.0 * torch.randn(2, 12, 4)
    with torch.no_grad():
        arguments["classifier_network"][0].w.weight.mul_(3.0)
    beam = ours.TransducerBeamSearcher(**arguments, state_beam=50.0, expand_beam=50.0)
    best, _, nbest, scores = beam(frames)
    assert nbest is not None and scores is not None and any(best)
    for row in range(2):
        alone = beam(frames[row : row + 1])
        assert alone[0][0] == best[row] == nbest[row][0]
        totals = [
            mean * (len(labels) + 1) for mean, labels in zip(scores[row], nbest[row], strict=True)
        ]
        assert totals == sorted(totals, reverse=True)


def test_it_ends_where_speechbrain_need_not() -> None:
    """A model that prefers labels to the blank at every frame."""
    parts = build(ours, 4)
    with torch.no_grad():
        parts["proj_dec"].w.weight.zero_()
    frames = torch.zeros(1, 40, V)
    frames[..., 1] = 9.0
    start = time.monotonic()
    (found,), *_ = parts["searcher"](frames)
    assert len(found) <= 40 * 5 and time.monotonic() - start < 30


def test_weights_keep_their_place_and_wrong_input_is_named() -> None:
    mine, other = (build(module, 4)["searcher"] for module in (ours, theirs))
    assert list(mine.state_dict()) == list(other.state_dict())
    assert mine(torch.zeros(0, 5, V))[0] == []
    assert mine(torch.zeros(2, 0, V))[0] == [[], []]
    with pytest.raises(ValueError, match="lm_weight=0.5 needs an lm_module"):
        ours.TransducerBeamSearcher([], nn.Identity(), [], 0, lm_weight=0.5)
    wrong = torch.full((1, 3, V), torch.nan)
    with pytest.raises(ValueError, match="NaN at frame 0 of this chunk in row 0"):
        mine(wrong)
