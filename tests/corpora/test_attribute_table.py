"""Tables of ZIP areas and archives of embeddings are read, or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sb_alexa.corpora.attribute_table import read_attributes
from sb_alexa.corpora.embedding_file import read_embeddings
from sb_alexa.corpora.text_files import CorpusError


def test_attributes_by_any_delimiter_and_name(tmp_path: Path) -> None:
    path = tmp_path / "census.txt"
    path.write_text("\ufeffZIP;a;b\n00601;0.5;\n;1;2\n10001; 0.25 ;x\n", encoding="utf-8")
    expected = {"00601": {"a": "0.5", "b": ""}, "10001": {"a": "0.25", "b": "x"}}
    assert read_attributes(path) == expected
    path.write_text("area,a,b\n00601,0.5,\n10001,0.25,x\n")
    assert read_attributes(path, zip_column="area") == expected


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("area,a\n1,2\n", None, "no column of ZIP codes; it has: area, a; call it zip"),
        ("zip,a\n1,2\n", "zap", "no column 'zap'. Did you mean zip?"),
        ("zip\n1\n", None, "has no column beside 'zip'"),
        ("zip,a\n1,2\n1,3\n", None, "line 3: ZIP code '1' has a line before"),
    ],
)
def test_attributes_that_cannot_be(tmp_path: Path, text: str, column: str, said: str) -> None:
    path = tmp_path / "census.csv"
    path.write_text(text)
    with pytest.raises(CorpusError, match=said.replace("?", r"\?")):
        read_attributes(path, zip_column=column)


def test_embeddings_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "voices.npz"

    def refused(said: str, **arrays: object) -> None:
        np.savez(path, **arrays)
        with pytest.raises(CorpusError, match=said):
            read_embeddings(path)

    refused("no NumPy archive with the arrays names", names=["a"])
    refused("names must be a list of text", names=[1], embeddings=np.eye(1))
    refused(r"embeddings must be \(2, E\) numbers", names=["a", "b"], embeddings=np.eye(3))
    refused("two embeddings of 'a'", names=["a", "b", "a"], embeddings=np.eye(3))
    # A pickle inside would run code when it is loaded.
    refused("no NumPy archive", names=np.array(["a"], dtype=object), embeddings=np.eye(1))
    path.write_bytes(b"PK damaged")
    with pytest.raises(CorpusError, match="no NumPy archive"):
        read_embeddings(path)
    with pytest.raises(FileNotFoundError):
        read_embeddings(tmp_path / "nothing.npz")
