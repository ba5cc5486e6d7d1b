"""Shallow fusion against hand computation, and the wrapped models against their own passes."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sb_alexa.streaming.state import cat, rows
from sb_alexa.transducer.beam import BeamSearch
from sb_alexa.transducer.beam_reference import LabelDistributions, exhaustive_search
from sb_alexa.transducer.language_model import (
    LanguageModel,
    RecurrentLanguageModel,
    TransformerLanguageModel,
)
from sb_alexa.transducer.ngram_language_model import NgramLanguageModel
from sb_alexa.transducer.speechbrain_language_model import as_language_model
from tests.transducer.beam_models import (
    assert_same,
    constant_search,
    in_chunks,
    random_frames,
    random_parts,
)

V = 5
ARPA = """\\data\\
ngram 1=6
ngram 2=4
ngram 3=1

\\1-grams:
-99\t<s>\t-0.3
-1.2\t</s>
-2.0\t<unk>
-0.5\ta\t-0.2
-0.7\tb\t-0.1
-0.9\tc

\\2-grams:
-0.3\t<s> a\t-0.4
-0.2\ta b\t-0.25
-0.6\tb a
-0.8\tb </s>

\\3-grams:
-0.1\t<s> a b

\\end\\
"""
TEXTS = ["<blank>", "a", "b", "c", "zebra"]


@torch.no_grad()
def after(model: LanguageModel, labels: tuple[int, ...]) -> tuple[list[float], float]:
    """Distribution and end after a history, one row."""
    state = model.initial_state(1)
    for label in labels:
        state = model.advance(torch.tensor([label]), state)
    return model.score(state)[0].tolist(), float(model.end_of_sentence(state))


def bigram_model(seed: int = 0) -> NgramLanguageModel:
    """Random, with an end of sentence."""
    table = torch.randn(V + 1, V + 1, generator=torch.Generator().manual_seed(seed)).log_softmax(1)
    return NgramLanguageModel(
        lambda context: table[context[0] if context else V].tolist(), context_labels=1
    )


@pytest.mark.parametrize("scores_end", [False, True])
def test_fusion_is_what_the_formula_says(scores_end: bool) -> None:
    predictor, joiner = random_parts(0, V)
    frames = random_frames(1, 2)
    model = bigram_model()
    exact = exhaustive_search(LabelDistributions(predictor, joiner, frames[0]), 2)
    expected = {}
    for labels, score in exact.items():
        for place, label in enumerate(labels):
            score += 0.3 * after(model, labels[:place])[0][label] + 0.7
        expected[labels] = score + 0.3 * after(model, labels)[1] * scores_end
    search = BeamSearch(
        predictor=predictor,
        joiner=joiner,
        beam_size=len(exact),
        num_hypotheses=len(exact),
        max_symbols_per_frame=2,
        language_model=model,
        language_model_weight=0.3,
        length_reward=0.7,
        score_end_of_sentence=scores_end,
    )
    (found,) = search.n_best(frames)
    assert {one.hypothesis.tokens: one.score for one in found} == pytest.approx(expected, abs=1e-6)
    acoustic = LabelDistributions(predictor, joiner, frames[0])
    best = found[0].hypothesis
    for place, (label, frame) in enumerate(zip(best.tokens, best.frames, strict=True)):
        assert best.log_probs[place] == pytest.approx(acoustic(frame, best.tokens[:place])[label])


def test_the_language_model_decides_where_the_audio_does_not() -> None:
    probabilities = [0.4, 0.3, 0.3]
    rule = [[-5.0, -5.0, -0.01, 0.0], [-5.0, -0.01, -5.0, 0.0]]  # 2 after 1, 1 otherwise
    model = NgramLanguageModel(
        lambda context: rule[0] if context == (1,) else rule[1], context_labels=1
    )
    search = constant_search(
        probabilities,
        max_symbols_per_frame=1,
        language_model=model,
        language_model_weight=1.0,
        length_reward=2.0,
    )
    frames = random_frames(2, 5)
    # Four labels, as they can lie in five frames in five ways; five labels can in one.
    assert [one.tokens for one in search(frames)] == [(1, 2, 1, 2)] * 2


def test_streaming_with_a_language_model_equals_offline() -> None:
    predictor, joiner = random_parts(4, V, blank_bias=1.0)
    search = BeamSearch(
        predictor=predictor,
        joiner=joiner,
        num_hypotheses=4,
        language_model=bigram_model(3),
        language_model_weight=0.5,
        length_reward=2.5,
        score_end_of_sentence=True,
    )
    frames, lengths = random_frames(3, 15), torch.tensor([15, 0, 8])
    whole = search.n_best(frames, lengths)
    assert len(whole[0][0].hypothesis) > 3
    for ranked, expected in zip(in_chunks(search, frames, lengths, [4, 1]), whole, strict=True):
        assert_same(ranked, expected, atol=1e-6)
    for row in range(3):
        assert_same(search.n_best(frames[row : row + 1, : lengths[row]])[0], whole[row], atol=1e-6)


def rnn_model(rnn_class: str = "LSTM") -> Any:
    from speechbrain.lobes.models.RNNLM import RNNLM
    from speechbrain.nnet import RNN

    return RNNLM(
        output_neurons=V,
        embedding_dim=4,
        rnn_class=getattr(RNN, rnn_class),
        rnn_layers=2,
        rnn_neurons=6,
        dnn_neurons=5,
        return_hidden=True,
    ).eval()


@pytest.mark.parametrize("rnn_class", ["LSTM", "GRU"])
def test_rnnlm_scores_are_those_of_its_own_pass(rnn_class: str) -> None:
    network = rnn_model(rnn_class)
    model = as_language_model(network, end_index=2)
    assert isinstance(model, RecurrentLanguageModel)
    labels = (3, 1, 4)
    with torch.no_grad():
        logits, _ = network(torch.tensor([[0, *labels]]))
    expected = logits[0].log_softmax(-1)
    for place in range(4):
        found, end = after(model, labels[:place])
        assert found == pytest.approx(expected[place].tolist(), abs=1e-5)
        assert end == pytest.approx(float(expected[place, 2]), abs=1e-5)
    network(torch.tensor([1]))  # from now on it drops the time dimension
    assert after(model, labels)[0] == pytest.approx(expected[3].tolist(), abs=1e-5)


def transformer_model() -> Any:
    from speechbrain.lobes.models.transformer.TransformerLM import TransformerLM

    return TransformerLM(
        V,
        d_model=8,
        nhead=2,
        num_encoder_layers=1,
        num_decoder_layers=0,
        d_ffn=8,
        normalize_before=True,
    ).eval()


def test_transformer_scores_are_those_of_its_own_pass() -> None:
    network = transformer_model()
    model = as_language_model(network, start_index=1)
    assert isinstance(model, TransformerLanguageModel)
    labels = (3, 1, 4)
    expected = network(torch.tensor([[1, *labels]]))[0].log_softmax(-1)
    for place in range(4):
        found, end = after(model, labels[:place])
        assert found == pytest.approx(expected[place].tolist(), abs=1e-5)
        assert end == 0.0


def test_rows_of_different_lengths_are_scored_together() -> None:
    model = TransformerLanguageModel(transformer_model(), start_index=1)
    short = model.initial_state(1)
    long = model.advance(
        torch.tensor([2]), model.advance(torch.tensor([4]), model.initial_state(1))
    )
    both = model.advance(torch.tensor([3, 3]), cat([short, long]))
    assert model.score(both)[0].tolist() == pytest.approx(after(model, (3,))[0], abs=1e-5)
    assert model.score(both)[1].tolist() == pytest.approx(after(model, (4, 2, 3))[0], abs=1e-5)
    swapped = rows(both, torch.tensor([1]))
    assert torch.equal(model.score(swapped)[0], model.score(both)[1])


def test_transformer_forgets_the_oldest_labels() -> None:
    network = transformer_model()
    model = TransformerLanguageModel(network, start_index=1, max_context_labels=2)
    whole = TransformerLanguageModel(network, start_index=1)
    assert after(model, (4, 2, 3, 2))[0] == pytest.approx(after(whole, (3, 2))[0], abs=1e-5)
    assert after(model, (4, 2))[0] == pytest.approx(after(whole, (4, 2))[0], abs=1e-5)


def test_scorers_lend_their_models() -> None:
    from speechbrain.decoders.scorer import RNNLMScorer, TransformerLMScorer

    network = rnn_model()
    cool = as_language_model(RNNLMScorer(network, temperature=2.0))
    logits, _ = network(torch.tensor([[0, 3]]))
    expected = (logits[0, -1] / 2.0).log_softmax(-1)
    assert after(cool, (3,))[0] == pytest.approx(expected.tolist(), abs=1e-5)
    scorer = TransformerLMScorer(transformer_model(), temperature=1.0)
    assert isinstance(as_language_model(scorer, start_index=1), TransformerLanguageModel)
    model = bigram_model()
    assert as_language_model(model) is model


def by_hand(context: tuple[int, ...]) -> dict[str, float]:
    """Two distributions of the model above, in powers of 10."""
    return {
        (): {"a": -0.3, "b": -0.3 - 0.7, "c": -0.3 - 0.9, "zebra": -0.3 - 2.0, "</s>": -0.3 - 1.2},
        (1,): {"a": -0.4 - 0.2 - 0.5, "b": -0.1, "</s>": -0.4 - 0.2 - 1.2},
        (1, 2): {"a": -0.25 - 0.6, "</s>": -0.25 - 0.8, "c": -0.25 - 0.1 - 0.9},
        (3, 2, 1): {"b": -0.2, "a": -0.2 - 0.5},
    }[context]


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    path = tmp_path / "trigram.arpa"
    path.write_text(ARPA, encoding="utf-8")
    return path


def check_ngrams(model: LanguageModel) -> None:
    for context in ((), (1,), (1, 2), (3, 2, 1)):
        found, end = after(model, context)
        for text, log10 in by_hand(context).items():
            value = end if text == "</s>" else found[TEXTS.index(text)]
            assert value == pytest.approx(log10 * math.log(10), abs=1e-5), (context, text)


def test_backoff_model_of_an_arpa_file(arpa: Path) -> None:
    from speechbrain.lm.arpa import read_arpa
    from speechbrain.lm.ngram import BackoffNgramLM

    with arpa.open(encoding="utf-8") as file:
        _, ngrams, backoffs = read_arpa(file)
    check_ngrams(NgramLanguageModel.from_backoff(BackoffNgramLM(ngrams, backoffs), TEXTS))


def test_kenlm_model_of_an_arpa_file(arpa: Path) -> None:
    pytest.importorskip("kenlm")
    check_ngrams(NgramLanguageModel.from_kenlm(arpa, TEXTS))


def test_kenlm_scorer(arpa: Path) -> None:
    pytest.importorskip("kenlm")
    from speechbrain.decoders.scorer import KenLMScorer

    check_ngrams(as_language_model(KenLMScorer(str(arpa), V, TEXTS)))


def test_kenlm_is_called_as_its_interface_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is not installed: a model that adds up what it is told."""
    words: list[tuple[str, ...]] = []

    class Model:
        order = 3

        def BeginSentenceWrite(self, state: Any) -> None:
            state.words = ("<s>",)

        def NullContextWrite(self, state: Any) -> None:
            state.words = ()

        def BaseScore(self, state: Any, word: str, after: Any) -> float:
            after.words = (*state.words, word)
            words.append(after.words)
            return -float(len(after.words))

    monkeypatch.setitem(sys.modules, "kenlm", SimpleNamespace(State=SimpleNamespace))
    model = NgramLanguageModel.from_kenlm(Model(), TEXTS)
    assert after(model, (1,))[0] == pytest.approx([-3 * math.log(10)] * V)
    assert ("<s>", "a", "b") in words and ("<s>", "a", "</s>") in words
    words.clear()
    assert after(model, (3, 1, 2))[0] == pytest.approx([-3 * math.log(10)] * V)
    assert words[-1] == ("a", "b", "</s>")
    num_calls = len(words)
    after(model, (3, 1, 2))
    assert len(words) == num_calls  # kept


def test_missing_kenlm_is_named(arpa: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", None)
    with pytest.raises(ImportError, match=r"trigram.arpa needs KenLM; .* pip install kenlm"):
        NgramLanguageModel.from_kenlm(arpa, TEXTS)


class _Silent(nn.Module):
    """Returns no hidden state."""

    def forward(self, tokens: Tensor, hx: Any = None) -> Tensor:
        return torch.zeros(*tokens.shape, V)


def test_wrong_models_are_named() -> None:
    predictor, joiner = random_parts(0, V)
    frames = random_frames(1, 2)

    def search(model: Any, **arguments: Any) -> BeamSearch:
        arguments = {"language_model_weight": 0.5, **arguments}
        return BeamSearch(predictor=predictor, joiner=joiner, language_model=model, **arguments)

    with pytest.raises(ValueError, match="RNNLM is in training mode, .* call .eval"):
        search(RecurrentLanguageModel(rnn_model().train()))(frames)
    with pytest.raises(ValueError, match="_Silent returns no hidden state"):
        search(RecurrentLanguageModel(_Silent().eval()))(frames)
    with pytest.raises(ValueError, match=r"scores \(4, 2\) labels, the transducer has \(4, 5\)"):
        search(NgramLanguageModel(lambda context: [0.0] * 3, context_labels=0))(frames)
    with pytest.raises(ValueError, match="language model's scores are NaN at frame 0 .* in row 0"):
        search(NgramLanguageModel(lambda context: [math.nan] * 6, context_labels=0))(frames)
    with pytest.raises(ValueError, match="language_model_weight=0.5 .* need a language_model"):
        search(None)
    with pytest.raises(ValueError, match="beam_size=1 is greedy search, which takes no language"):
        search(bigram_model(), beam_size=1)
    with pytest.raises(TypeError, match="list is no language model that a search can use"):
        as_language_model([])
    with pytest.raises(ValueError, match="temperature must be > 0, got 0"):
        RecurrentLanguageModel(rnn_model(), temperature=0)
    with pytest.raises(ValueError, match="max_context_labels must be >= 1, got 0"):
        TransformerLanguageModel(transformer_model(), start_index=1, max_context_labels=0)
    with pytest.raises(ValueError, match="context_labels >= 0 and cache_size >= 1, got -1"):
        NgramLanguageModel(lambda context: [], context_labels=-1)
