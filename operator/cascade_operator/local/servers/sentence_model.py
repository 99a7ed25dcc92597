"""A sentence-embedding model on onnxruntime: tokens in, mean-pooled unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

MAX_TOKENS: Final = 256
"""What the model was trained on (sentence-transformers' all-MiniLM-L6-v2), [CLS] and [SEP] too."""

_BATCH: Final = 4


class SentenceModel:
    """all-MiniLM-L6-v2: 384 dimensions, at most 256 tokens.

    Not for several threads at once; its owner holds a lock.
    """

    def __init__(self, model: Path, tokenizer: Path, *, threads: int) -> None:
        """Loads the model.

        Args:
            model: The ONNX file.
            tokenizer: The ``tokenizer.json`` beside it.
            threads: Compute threads.
        """
        import onnxruntime  # noqa: PLC0415 - heavy, and only the server's process needs it
        from tokenizers import Tokenizer  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # The arena keeps the largest batch's memory for ever: 620 MB against 265 MB without.
        options.enable_cpu_mem_arena = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self._wanted = {entry.name for entry in self._session.get_inputs()}
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that count; the rest is cut."""
        return MAX_TOKENS

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Splits texts into token ids, special tokens included, of any length."""
        return [encoded.ids for encoded in self._tokenizer.encode_batch(list(texts))]

    def embed(self, tokens: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Embeds token lists, each cut to what the model takes.

        Args:
            tokens: n lists as :meth:`tokens` gives them.

        Returns:
            float32 of shape [n, 384], each row of length 1.
        """
        cut = [_shorten(ids) for ids in tokens]
        found = np.zeros((len(cut), 384), dtype=np.float32)
        # Rows of like length share a batch, so that little is spent on padding.
        order = sorted(range(len(cut)), key=lambda row: len(cut[row]))
        for begin in range(0, len(order), _BATCH):
            rows = order[begin : begin + _BATCH]
            found[rows] = self._embed_batch([cut[row] for row in rows])
        return found

    def _embed_batch(self, batch: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        width = max(len(ids) for ids in batch)
        ids = np.zeros((len(batch), width), dtype=np.int64)
        mask = np.zeros((len(batch), width), dtype=np.int64)
        for row, entry in enumerate(batch):
            ids[row, : len(entry)] = entry
            mask[row, : len(entry)] = 1
        feeds: dict[str, Any] = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(ids),
        }
        given = {name: value for name, value in feeds.items() if name in self._wanted}
        hidden = np.asarray(self._session.run(None, given)[0], dtype=np.float32)
        if hidden.ndim == 3:
            weights = mask[:, :, None].astype(np.float32)
            hidden = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return unit_rows(hidden)


def unit_rows(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scales each row of [n, d] to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: npt.NDArray[np.float32] = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
    return scaled


def _shorten(ids: Sequence[int]) -> list[int]:
    """Cuts to the model's length but keeps the last token, [SEP]."""
    if len(ids) <= MAX_TOKENS:
        return list(ids)
    return [*ids[: MAX_TOKENS - 1], ids[-1]]
