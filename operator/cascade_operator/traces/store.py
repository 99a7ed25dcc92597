"""Stages 15-17: the run's traces in Redis, written by prepare and read by the groups' Jobs.

Chunks are SET, never appended to, so a write that is repeated after a lost answer changes nothing.
The manifest goes with them in one transaction. Whatever a reader finds missing or damaged is
``RunDataGone``: prepare can write it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import redis
from numpy.typing import NDArray

from cascade_operator.api.canonical import canonical_json
from cascade_operator.traces.chunk import (
    MAX_TRACES,
    ChunkError,
    Half,
    Header,
    Kind,
    decode_header,
    encode_chunk,
)
from cascade_operator.traces.layout import SIDES, Side
from cascade_operator.traces.manifest import ChunkEntry, Manifest
from cascade_operator.traces.packed import pack_lines, unpack_lines
from cascade_operator.traces.record import Split, TraceRecord
from cascade_operator.traces.redis_blocks import Span, damage_in, gone, read_spans, set_blocks

if TYPE_CHECKING:
    from cascade_operator.api.keys import RunKeys

Matrix = NDArray[np.float32]

_VECTORS: Final = "vectors"
_TEXT: Final = "text"
_FLUSH_TEXT_BYTES: Final = 8 << 20
_MAX_MANIFEST_BYTES: Final = 64 << 20
_READ_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """The text of one record, as training uses it."""

    record_id: str
    split: Split
    inputs: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]
    validated: Mapping[str, Any]
    content_hash: str


class TraceStore:
    """The traces of one run."""

    def __init__(self, client: redis.Redis, keys: RunKeys) -> None:
        """Args: a client that does not decode answers, and the run's keys."""
        self._redis = client
        self._keys = keys
        self._known: Manifest | None = None

    def write(
        self,
        records: Sequence[TraceRecord],
        split: Mapping[str, Split],
        embeddings: NDArray[Any],
        reduced: NDArray[Any],
        recipe: str,
        *,
        nodes: Sequence[str],
    ) -> Manifest:
        """Writes the run's traces, replacing what an earlier attempt wrote.

        Args:
            records: The records, each with every node of ``nodes``.
            split: Each record's split by name.
            embeddings: ``[2 * len(nodes) + 1, len(records), 256]``, as ``embed_traces`` gives them.
            reduced: The same columns and records, 64 dimensions each.
            recipe: The embedder's recipe.
            nodes: The nodes in cascade order.

        Raises:
            DataError: The traces are too large for one run.
            ServiceUnavailable: Redis fails or is full.
            ValueError: The shapes do not fit.
        """
        columns = 2 * len(nodes) + 1
        if embeddings.shape[:2] != (columns, len(records)) or reduced.shape[:2] != (
            columns, len(records),
        ):  # fmt: skip
            raise ValueError(f"{embeddings.shape} and {reduced.shape} are not [{columns}, records]")
        values: dict[str, bytes] = {}
        entries = []
        for number, (start, texts) in enumerate(_cut(records, split, nodes)):
            rows = slice(start, start + len(texts))
            block = encode_chunk(reduced[:, rows], embeddings[:, rows], recipe)
            packed = pack_lines(texts)
            entries.append(ChunkEntry(len(texts), decode_header(block).crc, len(packed)))
            values[self._keys.chunk(_VECTORS, number)] = block
            values[self._keys.chunk(_TEXT, number)] = packed
        manifest = Manifest(
            recipe=recipe,
            nodes=tuple(nodes),
            reduced=reduced.shape[2],
            raw=embeddings.shape[2],
            chunks=tuple(entries),
            record_ids=tuple(record.record_id for record in records),
            splits=tuple(split[record.record_id] for record in records),
        )
        values[self._keys.manifest()] = manifest.encode()
        set_blocks(self._redis, values)
        self._known = manifest
        return manifest

    def manifest(self) -> Manifest:
        """Returns the table of contents; read once.

        Raises:
            RunDataGone: It is missing or damaged.
            ServiceUnavailable: Redis fails.
        """
        if self._known is None:
            key = self._keys.manifest()
            (block,) = read_spans(self._redis, [(key, 0, _MAX_MANIFEST_BYTES)])
            with damage_in(key):
                self._known = Manifest.decode(block)
        return self._known

    def record_ids(self, split: Split | None = None) -> tuple[str, ...]:
        """Returns the records' names, of one split or of all, in the store's order."""
        manifest = self.manifest()
        pairs = zip(manifest.record_ids, manifest.splits, strict=True)
        return tuple(name for name, its in pairs if split is None or its is split)

    def locate(self, record_id: str) -> tuple[int, int]:
        """Returns a record's chunk and row; ``manifest().record_at`` is the way back.

        Raises:
            KeyError: The run has no such record.
        """
        return self.manifest().locate(record_id)

    def records(self, split: Split | None = None) -> list[StoredRecord]:
        """Returns the records' texts, of one split or of all, in the store's order.

        Raises:
            RunDataGone: A chunk is missing or damaged.
            ServiceUnavailable: Redis fails.
        """
        chunks = self.manifest().chunks
        found = []
        for start in range(0, len(chunks), _READ_AT_ONCE):
            spans: list[Span] = [
                (self._keys.chunk(_TEXT, number), 0, chunks[number].text_bytes)
                for number in range(start, min(start + _READ_AT_ONCE, len(chunks)))
            ]
            for span, block in zip(spans, read_spans(self._redis, spans), strict=True):
                with damage_in(span[0]):
                    found += [_stored(document) for document in unpack_lines(block)]
        if tuple(record.record_id for record in found) != self.manifest().record_ids:
            raise gone(self._keys.manifest(), "it names other records than the text chunks")
        return [record for record in found if split is None or record.split is split]

    def build_io_matrix(self, nodes: Sequence[str]) -> tuple[Matrix, Matrix]:
        """Returns the reduced vectors of some nodes, by partial reads in one round trip.

        Returns:
            Inputs and outputs, float32 ``[records * len(nodes), 64]`` each; row
            ``record * len(nodes) + position`` belongs to that record and node.

        Raises:
            KeyError: The run has no such node.
            RunDataGone: A chunk is missing or damaged.
        """
        manifest = self.manifest()
        columns = [manifest.layout.column(node, side) for side in SIDES for node in nodes]
        found = self._columns("red", columns)
        inputs, outputs = (
            np.stack(part, axis=1).reshape(-1, manifest.reduced).astype(np.float32)
            for part in (found[: len(nodes)], found[len(nodes) :])
        )
        return inputs, outputs

    def matrices(self, node: str) -> dict[Side, dict[Kind, Half]]:
        """Returns a node's vectors as stored: ``[side]["red" or "raw"]``, f16 ``[records, dims]``.

        Raises:
            KeyError: The run has no such node.
            RunDataGone: A chunk is missing or damaged.
        """
        columns = [self.manifest().layout.column(node, side) for side in SIDES]
        reduced, raw = self._columns("red", columns), self._columns("raw", columns)
        return {
            side: {"red": reduced[place], "raw": raw[place]} for place, side in enumerate(SIDES)
        }

    def validated_raw(self) -> Matrix:
        """Returns the raw vectors of the validated outputs, float32 ``[records, 256]``.

        Raises:
            RunDataGone: A chunk is missing or damaged.
        """
        (found,) = self._columns("raw", [self.manifest().layout.validated])
        return found.astype(np.float32)

    def _columns(self, kind: Kind, columns: Sequence[int]) -> list[Half]:
        """Some columns over all chunks, each f16 ``[records, dims]``, without the other columns."""
        manifest = self.manifest()
        spans: list[Span] = []
        for number, entry in enumerate(manifest.chunks):
            name = self._keys.chunk(_VECTORS, number)
            shape = self._shape(entry)
            spans.append((name, 0, manifest.header_bytes))
            spans += [(name, *shape.span(kind, column)) for column in columns]
        blocks = iter(read_spans(self._redis, spans))
        parts: list[list[Half]] = [[] for _ in columns]
        for number, entry in enumerate(manifest.chunks):
            with damage_in(self._keys.chunk(_VECTORS, number)):
                header = decode_header(next(blocks))
                shape = self._shape(entry)
                if header.crc != entry.crc or header.length != shape.length:
                    raise ChunkError("it is of another write than the manifest")
                for part, column in zip(parts, columns, strict=True):
                    part.append(header.decode(kind, column, next(blocks)))
        return [np.concatenate(part) for part in parts]

    def _shape(self, entry: ChunkEntry) -> Header:
        """A chunk's header as far as the manifest knows it, which says where its columns lie."""
        manifest = self.manifest()
        columns = manifest.layout.columns
        return Header(entry.traces, columns, manifest.reduced, manifest.raw, b"", (), entry.crc)


def _cut(
    records: Sequence[TraceRecord], split: Mapping[str, Split], nodes: Sequence[str]
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Cuts records into even chunks of at most 256; long texts fill one sooner."""
    target = -(-len(records) // -(-len(records) // MAX_TRACES)) if records else 1
    start, size, texts = 0, 0, list[dict[str, Any]]()
    for place, record in enumerate(records):
        document = {
            "record_id": record.record_id,
            "split": split[record.record_id],
            "inputs": {node: record.inputs[node] for node in nodes},
            "outputs": {node: record.outputs[node] for node in nodes},
            "validated": record.validated,
            "content_hash": record.content_hash,
        }
        texts.append(document)
        size += len(canonical_json(document))
        if len(texts) == target or size > _FLUSH_TEXT_BYTES:
            yield start, texts
            start, size, texts = place + 1, 0, []
    if texts:
        yield start, texts


def _stored(document: Any) -> StoredRecord:
    try:
        return StoredRecord(
            record_id=document["record_id"],
            split=Split(document["split"]),
            inputs=document["inputs"],
            outputs=document["outputs"],
            validated=document["validated"],
            content_hash=document["content_hash"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ChunkError(f"a record is malformed: {error}") from None
