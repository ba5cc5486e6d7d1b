from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from speechbrain.lobes.models.ECAPA_TDNN import Classifier
from speechbrain.nnet.losses import AdditiveAngularMargin, LogSoftmaxWrapper

from sb_alexa.losses.speaker_classification import SpeakerClassificationLoss

SPEAKERS = torch.tensor([3, 0, 9, 3])


def test_a_margin_gives_the_mean_loss_of_speechbrain() -> None:
    margin = AdditiveAngularMargin(margin=0.2, scale=30)
    loss = SpeakerClassificationLoss(embedding_size=6, num_speakers=10, margin=margin)
    theirs = Classifier(6, lin_neurons=6, out_neurons=10)
    theirs.load_state_dict(loss.state_dict())
    x = torch.randn(4, 6)
    expected = LogSoftmaxWrapper(margin)(theirs(x[:, None]), SPEAKERS[:, None])
    losses = loss(x, SPEAKERS)
    assert losses.shape == (4,)
    assert torch.allclose(losses.mean(), expected, atol=1e-5)


def test_without_a_margin_it_is_softmax_with_a_bias() -> None:
    loss = SpeakerClassificationLoss(embedding_size=6, num_speakers=10)
    assert loss.bias is not None
    torch.nn.init.normal_(loss.bias)
    x = torch.randn(4, 6)
    expected = F.cross_entropy(x @ loss.weight.t() + loss.bias, SPEAKERS, reduction="none")
    assert torch.allclose(loss(x, SPEAKERS), expected, atol=1e-6)
    rows = torch.tensor([2, 0])
    assert torch.allclose(loss(x, SPEAKERS, rows), expected[rows], atol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(loss(x, SPEAKERS), expected, atol=1e-6), "computed in bfloat16"


def test_wrong_speakers_and_sizes_are_refused() -> None:
    loss = SpeakerClassificationLoss(embedding_size=6, num_speakers=10)
    with pytest.raises(ValueError, match=r"speakers must be in 0\.\.9, got 3\.\.10"):
        loss(torch.randn(2, 6), torch.tensor([10, 3]))
    with pytest.raises(ValueError, match="have 5 features, embedding_size is 6"):
        loss(torch.randn(2, 5), torch.tensor([1, 3]))
    with pytest.raises(ValueError, match="num_speakers >= 2, got 6 and 1"):
        SpeakerClassificationLoss(embedding_size=6, num_speakers=1)
