"""ZIP codes as text of five digits, whatever a spreadsheet made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

_PLUS_FOUR = re.compile(r"(\d{5})-?\d{4}")


def zip_texts(codes: Iterable[object]) -> list[str]:
    """ZIP codes as text without the parts that a table may add.

    Arguments
    ---------
    codes : iterable
        Text or numbers; None, NaN or empty where unknown.

    Returns
    -------
    list of str
        Empty where unknown. Digits that were lost are not restored, see `restore_zeros`.

    Example
    -------
    >>> zip_texts(["02138", " 02138-1234", 2138, 2138.0, "2138.0", None, float("nan")])
    ['02138', '02138', '2138', '2138', '2138', '', '']
    """
    texts = []
    for code in codes:
        if code is None or code != code:
            texts.append("")
            continue
        text = str(code).strip()
        if text.endswith(".0") and text[:-2].isdecimal():
            text = text[:-2]
        match = _PLUS_FOUR.fullmatch(text)
        texts.append(match[1] if match else text)
    return texts


def num_zip_digits(*columns: Iterable[str]) -> int:
    """Digits of the longest code that consists of digits, 0 where none does.

    Example
    -------
    >>> num_zip_digits(["2138"], ["10001", "K1A"])
    5
    """
    lengths = (len(code) for column in columns for code in column if code.isdecimal())
    return max(lengths, default=0)


def restore_zeros(
    codes: Sequence[str], num_digits: int, *, repair: bool, column: str
) -> tuple[list[str], int]:
    """Give codes their leading zeros back, or refuse those that lost them.

    Arguments
    ---------
    codes : sequence of str
        From `zip_texts`.
    num_digits : int
        That every code of digits must have, see `num_zip_digits`.
    repair : bool
        False to refuse.
    column : str
        What to call the column in a message.

    Returns
    -------
    codes, num_repaired : list of str, int
        Number of entries that were repaired.

    Raises
    ------
    ValueError
        If codes lost digits and `repair` is False; the message names them.

    Example
    -------
    >>> restore_zeros(["2138", "10001", "", "K1A"], 5, repair=True, column="zip")
    (['02138', '10001', '', 'K1A'], 1)
    """
    is_short = [code.isdecimal() and len(code) < num_digits for code in codes]
    short = sorted({code for code, lost in zip(codes, is_short, strict=True) if lost})
    if short and not repair:
        some = ", ".join(repr(code) for code in short[:5])
        more = f" and {len(short) - 5} more" if len(short) > 5 else ""
        raise ValueError(
            f"{column}: {len(short)} codes lost their leading zero, {some}{more}, where others "
            f"have {num_digits} digits; read the column as text, or repair them with "
            "repair_zip_codes=True"
        )
    fixed = [
        code.zfill(num_digits) if lost else code for code, lost in zip(codes, is_short, strict=True)
    ]
    return fixed, int(np.sum(is_short))
