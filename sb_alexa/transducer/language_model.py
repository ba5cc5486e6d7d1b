"""Language models that a search fuses with the transducer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sb_alexa.streaming.state import State, map_tensors


class LanguageModel(Protocol):
    """What `BeamSearch` asks of a language model: label histories in rows, scored together.

    The labels are the transducer's. A row is a hypothesis; rows are selected, repeated and put
    together by the row operations of `sb_alexa.streaming.state`, so the state holds tensors with
    the rows in dimension 0.
    """

    def initial_state(self, batch_size: int) -> Any:
        """The state before the first label."""

    def score(self, state: Any) -> Tensor:
        """(N, V) log-probabilities (nats) of each label to come next; the blank's are ignored.

        Called more often than `advance`: keep in the state what is dear to compute.
        """

    def advance(self, tokens: Tensor, state: Any) -> Any:
        """The state after one more label (N,) in each row."""

    def end_of_sentence(self, state: Any) -> Tensor:
        """(N,) log-probabilities (nats) of ending here; 0 where the model knows no end."""


@dataclass(frozen=True)
class RecurrentState(State):
    """Hidden state, (N, layers, H) or a tuple of such, and (N, V) log-probabilities."""

    hidden: Any
    log_probs: Tensor


class RecurrentLanguageModel:
    """A network that is called as ``logits, hidden = model(tokens, hx=hidden)``.

    SpeechBrain's `RNNLM` with ``return_hidden: True`` is one.

    Arguments
    ---------
    model : Module
        (N, 1) labels to (N, 1, V) logits; hidden states (layers, N, H), or a tuple of such.
    start_index : int
        The label that begins a sentence: the blank for a model trained with the transducer's
        labels, else its <bos>.
    end_index : int | None
        The label that ends one; None for none.
    temperature : float
        Divides the logits.

    Raises
    ------
    ValueError
        If the temperature is not positive; in a search, if the model is in training mode or returns
        no hidden state.

    Example
    -------
    >>> class Bigrams(nn.Module):
    ...     def forward(self, tokens, hx=None):  # the same label again, with log-odds 2
    ...         logits = 2.0 * nn.functional.one_hot(tokens, 3)
    ...         return logits, tokens.T[..., None].float()
    >>> model = RecurrentLanguageModel(Bigrams().eval())
    >>> state = model.advance(torch.tensor([2]), model.initial_state(1))
    >>> [round(float(value), 2) for value in model.score(state)[0].exp()]
    [0.11, 0.11, 0.79]
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        start_index: int = 0,
        end_index: int | None = None,
        temperature: float = 1.0,
    ) -> None:
        _check_temperature(temperature)
        self.model = model
        self.start_index = start_index
        self.end_index = end_index
        self.temperature = temperature

    def initial_state(self, batch_size: int) -> RecurrentState:
        """The state after the start symbol."""
        _check_mode(self.model)
        return self._run(_start(self.model, batch_size, self.start_index), None)

    def score(self, state: RecurrentState) -> Tensor:
        """(N, V)."""
        return state.log_probs

    def advance(self, tokens: Tensor, state: RecurrentState) -> RecurrentState:
        """The state after one more label (N,)."""
        return self._run(tokens, map_tensors(_swapped, state.hidden))

    def end_of_sentence(self, state: RecurrentState) -> Tensor:
        """(N,)."""
        return _end(state.log_probs, self.end_index)

    def _run(self, tokens: Tensor, hidden: Any) -> RecurrentState:
        found = self.model(tokens[:, None], hx=hidden)
        if not isinstance(found, tuple):
            raise ValueError(
                f"{type(self.model).__name__} returns no hidden state, so that labels would be "
                "scored without their history; make SpeechBrain's RNNLM with return_hidden: True"
            )
        logits, hidden = found
        # RNNLM drops the time dimension once it has been called with (N,) labels.
        log_probs = _log_probs(logits.reshape(len(tokens), logits.shape[-1]), self.temperature)
        return RecurrentState(map_tensors(_swapped, hidden), log_probs)


@dataclass(frozen=True)
class TransformerState(State):
    """(N, C) the start symbol and the last labels, (N,) their number, (N, V) log-probabilities."""

    tokens: Tensor
    count: Tensor
    log_probs: Tensor


class TransformerLanguageModel:
    """A causal network over whole label histories, ``logits = model(tokens)``.

    SpeechBrain's `TransformerLM` is one. Each label runs the network over its whole history.

    Arguments
    ---------
    model : Module
        (N, U) labels to (N, U, V) logits, none of which depends on later labels.
    start_index : int
        The label that begins a sentence, not SpeechBrain's padding (0), which it masks.
    end_index : int | None
        The label that ends one; None for none.
    max_context_labels : int
        Labels seen behind the start symbol; older ones are forgotten.
    temperature : float
        Divides the logits.

    Raises
    ------
    ValueError
        If a number is not positive; in a search, if the model is in training mode.

    Example
    -------
    >>> class Counting(nn.Module):
    ...     def forward(self, tokens):  # the sum of the labels so far comes next
    ...         return 9.0 * nn.functional.one_hot(tokens.cumsum(1), 8)
    >>> model = TransformerLanguageModel(Counting().eval(), start_index=1)
    >>> state = model.advance(torch.tensor([2]), model.initial_state(1))
    >>> state = model.advance(torch.tensor([3]), state)
    >>> int(model.score(state).argmax())
    6
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        start_index: int,
        end_index: int | None = None,
        max_context_labels: int = 256,
        temperature: float = 1.0,
    ) -> None:
        _check_temperature(temperature)
        if max_context_labels < 1:
            raise ValueError(f"max_context_labels must be >= 1, got {max_context_labels}")
        self.model = model
        self.start_index = start_index
        self.end_index = end_index
        self.max_context_labels = max_context_labels
        self.temperature = temperature

    def initial_state(self, batch_size: int) -> TransformerState:
        """The state after the start symbol."""
        _check_mode(self.model)
        first = _start(self.model, batch_size, self.start_index)
        tokens = nn.functional.pad(first[:, None], (0, self.max_context_labels))
        return self._run(tokens, torch.ones_like(first))

    def score(self, state: TransformerState) -> Tensor:
        """(N, V)."""
        return state.log_probs

    def advance(self, tokens: Tensor, state: TransformerState) -> TransformerState:
        """The state after one more label (N,)."""
        before, last = state.tokens, self.max_context_labels
        is_full = (state.count > last)[:, None]
        shifted = torch.cat([before[:, :1], before[:, 2:], tokens[:, None]], dim=1)
        place = state.count[:, None].clamp(max=last)
        history = torch.where(is_full, shifted, before.scatter(1, place, tokens[:, None]))
        return self._run(history, (state.count + 1).clamp(max=last + 1))

    def end_of_sentence(self, state: TransformerState) -> Tensor:
        """(N,)."""
        return _end(state.log_probs, self.end_index)

    def _run(self, tokens: Tensor, count: Tensor) -> TransformerState:
        logits = self.model(tokens[:, : int(count.max())])
        logits = logits[torch.arange(len(count), device=count.device), count - 1]
        return TransformerState(tokens, count, _log_probs(logits, self.temperature))


def _log_probs(logits: Tensor, temperature: float) -> Tensor:
    return (logits / temperature).log_softmax(-1)


def _start(model: nn.Module, batch_size: int, start_index: int) -> Tensor:
    device = next((parameter.device for parameter in model.parameters()), None)
    return torch.full((batch_size,), start_index, dtype=torch.long, device=device)


def _swapped(tensor: Tensor) -> Tensor:
    """(layers, N, H) to (N, layers, H), and back."""
    return tensor.transpose(0, 1).contiguous()


def _end(log_probs: Tensor, end_index: int | None) -> Tensor:
    if end_index is None:
        return torch.zeros_like(log_probs[:, 0])
    return log_probs[:, end_index]


def _check_mode(model: nn.Module) -> None:
    if model.training:
        raise ValueError(
            f"the language model {type(model).__name__} is in training mode, where dropout makes "
            "its scores random; call .eval() on it"
        )


def _check_temperature(temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
