"""SpeechBrain's language models and scorers as language models of a search."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from sb_alexa.transducer.language_model import (
    LanguageModel,
    RecurrentLanguageModel,
    TransformerLanguageModel,
)
from sb_alexa.transducer.ngram_language_model import NgramLanguageModel


def as_language_model(
    model: Any, *, start_index: int = 0, end_index: int | None = None
) -> LanguageModel:
    """Wrap what SpeechBrain's own searches take.

    Arguments
    ---------
    model : object
        `RNNLM`, `TransformerLM` or another module called like one of them; `RNNLMScorer`,
        `TransformerLMScorer` or `KenLMScorer`, of which the model, temperature and labels are used,
        since a scorer's memory is permuted by its own search only; `BackoffNgramLM` needs the
        labels as text, see `NgramLanguageModel.from_backoff`. A `LanguageModel` is returned as it
        is.
    start_index : int
        The label that begins a sentence.
    end_index : int | None
        The label that ends one; None for none. N-gram models know their own.

    Returns
    -------
    LanguageModel
        For `BeamSearch`.

    Raises
    ------
    TypeError
        If it is none of these.

    Example
    -------
    >>> class Bigrams(nn.Module):
    ...     def forward(self, tokens, hx=None):
    ...         return 2.0 * nn.functional.one_hot(tokens, 3), tokens.T[..., None].float()
    >>> type(as_language_model(Bigrams().eval())).__name__
    'RecurrentLanguageModel'
    """
    if hasattr(model, "end_of_sentence"):
        return model
    if hasattr(model, "id2char"):  # KenLMScorer
        return NgramLanguageModel.from_kenlm(model.lm, model.id2char)
    temperature = 1.0
    if hasattr(model, "permute_mem"):  # a scorer of a network
        temperature, model = getattr(model, "temperature", 1.0), getattr(model, "lm", None)
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"{type(model).__name__} is no language model that a search can use; give an RNNLM, a "
            "TransformerLM, one of their scorers, a KenLMScorer, or an object with the methods of "
            "sb_alexa.transducer.language_model.LanguageModel"
        )
    if "hx" in inspect.signature(model.forward).parameters:
        return RecurrentLanguageModel(
            model, start_index=start_index, end_index=end_index, temperature=temperature
        )
    return TransformerLanguageModel(
        model, start_index=start_index, end_index=end_index, temperature=temperature
    )
