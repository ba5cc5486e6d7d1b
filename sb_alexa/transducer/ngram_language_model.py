"""N-gram language models over the transducer's labels, by KenLM or in plain Python."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sb_alexa.streaming.state import State

_BEGIN, _END, _UNKNOWN = "<s>", "</s>", "<unk>"


@dataclass(frozen=True)
class NgramState(State):
    """(N, C) last labels, aligned to the right, (N,) their number, (N, V + 1) log-probabilities."""

    context: Tensor
    count: Tensor
    log_probs: Tensor


class NgramLanguageModel:
    """A language model that sees the last labels only.

    The distribution after a context is computed once and kept, since hypotheses share contexts and
    come back to them.

    Arguments
    ---------
    distribution : Callable
        Takes the last labels, a tuple of at most `context_labels`, and returns V + 1 log-
        probabilities (nats): of each label and of the end of the sentence. A tuple with fewer
        labels is a whole history: the sentence begins there.
    context_labels : int
        The order of the n-grams less 1.
    cache_size : int
        Contexts whose distributions are kept, of V + 1 float32 values each.

    Example
    -------
    >>> def distribution(context):
    ...     follows = 2 if context == (1,) else 1
    ...     return [math.log(0.8 if label == follows else 0.1) for label in range(3)] + [0.0]
    >>> model = NgramLanguageModel(distribution, context_labels=1)
    >>> state = model.advance(torch.tensor([1, 2]), model.initial_state(2))
    >>> model.score(state).argmax(1).tolist()
    [2, 1]
    """

    def __init__(
        self,
        distribution: Callable[[tuple[int, ...]], Sequence[float]],
        *,
        context_labels: int,
        cache_size: int = 4096,
    ) -> None:
        if context_labels < 0 or cache_size < 1:
            raise ValueError(
                "NgramLanguageModel needs context_labels >= 0 and cache_size >= 1, got "
                f"{context_labels} and {cache_size}"
            )
        self.context_labels = context_labels
        self._log_probs = functools.lru_cache(cache_size)(
            lambda context: torch.tensor(distribution(context), dtype=torch.float32)
        )

    @classmethod
    def from_kenlm(
        cls, model: Any, label_texts: Sequence[str], *, cache_size: int = 4096
    ) -> NgramLanguageModel:
        """Use a KenLM model whose words are the transducer's labels.

        Arguments
        ---------
        model : str | os.PathLike | kenlm.Model
            A file (.arpa or .bin) or a model.
        label_texts : sequence of str
            (V,) each label as the model writes it; the blank's is ignored.
        cache_size : int
            As above.

        Raises
        ------
        ImportError
            If a file is given and KenLM is not installed.
        """
        if isinstance(model, (str, os.PathLike)):
            model = _open_kenlm(model)
        distribution = functools.partial(_kenlm_distribution, model, tuple(label_texts))
        return cls(distribution, context_labels=model.order - 1, cache_size=cache_size)

    @classmethod
    def from_backoff(
        cls,
        model: Any,
        label_texts: Sequence[str],
        *,
        log_base: float = 10.0,
        cache_size: int = 4096,
    ) -> NgramLanguageModel:
        """Use SpeechBrain's `BackoffNgramLM`, which needs nothing installed.

        Arguments
        ---------
        model : BackoffNgramLM
            With ``logprob(token, context)``, `ngrams` and `top_order`.
        label_texts : sequence of str
            (V,) each label as the model writes it; the blank's is ignored.
        log_base : float
            Of its log-probabilities: 10 for what `speechbrain.lm.arpa.read_arpa` reads.
        cache_size : int
            As above.
        """
        distribution = functools.partial(
            _backoff_distribution, model, tuple(label_texts), math.log(log_base)
        )
        return cls(distribution, context_labels=model.top_order - 1, cache_size=cache_size)

    def initial_state(self, batch_size: int) -> NgramState:
        """The beginning of a sentence."""
        context = torch.zeros(batch_size, self.context_labels, dtype=torch.long)
        return self._state(context, torch.zeros(batch_size, dtype=torch.long))

    def score(self, state: NgramState) -> Tensor:
        """(N, V)."""
        return state.log_probs[:, :-1]

    def advance(self, tokens: Tensor, state: NgramState) -> NgramState:
        """The state after one more label (N,)."""
        tokens = tokens.to(state.context.device)
        context = torch.cat([state.context, tokens[:, None]], dim=1)[:, 1:]
        return self._state(context, (state.count + 1).clamp(max=self.context_labels))

    def end_of_sentence(self, state: NgramState) -> Tensor:
        """(N,)."""
        return state.log_probs[:, -1]

    def _state(self, context: Tensor, count: Tensor) -> NgramState:
        labels = zip(context.tolist(), count.tolist(), strict=True)
        known = [self._log_probs(tuple(row[len(row) - n :])) for row, n in labels]
        log_probs = torch.stack(known) if known else torch.zeros(0, 1)
        return NgramState(context, count, log_probs.to(context.device))


def _kenlm_distribution(
    model: Any, texts: tuple[str, ...], context: tuple[int, ...]
) -> list[float]:
    import kenlm

    state, after = kenlm.State(), kenlm.State()
    if len(context) < model.order - 1:
        model.BeginSentenceWrite(state)
    else:
        model.NullContextWrite(state)
    for label in context:
        model.BaseScore(state, texts[label], after)
        state, after = after, state
    return [math.log(10.0) * model.BaseScore(state, text, after) for text in (*texts, _END)]


def _backoff_distribution(
    model: Any, texts: tuple[str, ...], scale: float, context: tuple[int, ...]
) -> list[float]:
    unigrams = model.ngrams[1][()]
    words = [text if text in unigrams else _UNKNOWN for text in texts]
    history = tuple(words[label] for label in context)
    if len(context) < model.top_order - 1:
        history = (_BEGIN, *history)
    return [scale * model.logprob(word, history) for word in (*words, _END)]


def _open_kenlm(path: str | os.PathLike[str]) -> Any:
    try:
        import kenlm
    except ImportError as error:
        raise ImportError(
            f"the language model {os.fspath(path)} needs KenLM; install it with: pip install kenlm"
        ) from error
    return kenlm.Model(os.fspath(path))
