"""Stages 15-17: the run's traces in Redis, written by prepare and read by the groups' Jobs.

Whatever a reader finds missing, damaged or of another write than the manifest is ``RunDataGone``:
prepare can write it again (see ``store_writer``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import redis
from numpy.typing import NDArray

from cascade_operator.traces.chunk import ChunkError, Half, Header, Kind, decode_header
from cascade_operator.traces.layout import SIDES, Side
from cascade_operator.traces.manifest import ChunkEntry, Manifest
from cascade_operator.traces.packed import frame_crc, parse_line, unpack_encoded
from cascade_operator.traces.record import Split, TraceRecord
from cascade_operator.traces.redis_blocks import Span, damage_in, read_spans
from cascade_operator.traces.store_writer import TEXT, VECTORS, VectorsOf, write_traces

if TYPE_CHECKING:
    from cascade_operator.api.keys import RunKeys

Matrix = NDArray[np.float32]

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
        return self.write_blocks(
            records,
            split,
            lambda start, stop: (embeddings[:, start:stop], reduced[:, start:stop]),
            recipe,
            nodes=nodes,
        )

    def write_blocks(
        self,
        records: Sequence[TraceRecord],
        split: Mapping[str, Split],
        vectors: VectorsOf,
        recipe: str,
        *,
        nodes: Sequence[str],
    ) -> Manifest:
        """Writes the run's traces as ``write`` does, with vectors asked for chunk by chunk.

        Raises:
            DataError: The traces are too many for one run.
            ServiceUnavailable: Redis fails or is full.
            ValueError: The shapes do not fit.
        """
        self._known = None  # until the new manifest stands, the old one may be of half the chunks
        self._known = write_traces(
            self._redis, self._keys, records, split, vectors, recipe, nodes=nodes
        )
        return self._known

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
        return list(self.iter_records(*(() if split is None else (split,))))

    def iter_records(self, *splits: Split) -> Iterator[StoredRecord]:
        """Yields the records' texts in the store's order, a few chunks in memory at a time.

        Args:
            splits: Those wanted; all by default. Texts of other splits are not even parsed.

        Raises:
            RunDataGone: A chunk is missing or damaged.
            ServiceUnavailable: Redis fails.
        """
        manifest = self.manifest()
        place = 0
        for number, entry, block in self._texts():
            key = self._keys.chunk(TEXT, number)
            with damage_in(key):
                if frame_crc(block) != entry.text_crc:
                    raise ChunkError("it is of another write than the manifest")
                lines = unpack_encoded(block)
                if len(lines) != entry.traces:
                    raise ChunkError(f"it holds {len(lines)} records, not {entry.traces}")
                for row, line in enumerate(lines, start=place):
                    if splits and manifest.splits[row] not in splits:
                        continue
                    record = _stored(parse_line(line))
                    if record.record_id != manifest.record_ids[row]:
                        raise ChunkError("the manifest names other records")
                    yield record
            place += entry.traces

    def _texts(self) -> Iterator[tuple[int, ChunkEntry, bytes]]:
        chunks = self.manifest().chunks
        for start in range(0, len(chunks), _READ_AT_ONCE):
            numbers = range(start, min(start + _READ_AT_ONCE, len(chunks)))
            spans: list[Span] = [
                (self._keys.chunk(TEXT, number), 0, chunks[number].text_bytes) for number in numbers
            ]
            blocks = read_spans(self._redis, spans)
            yield from zip(numbers, (chunks[number] for number in numbers), blocks, strict=True)

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
        columns = [manifest.layout.column(node, side) for node in nodes for side in SIDES]
        found = self._columns("red", columns)
        shape = (len(manifest.record_ids), len(nodes), manifest.reduced)
        both = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for place, halves in enumerate(found):
            node, side = divmod(place, len(SIDES))
            start = 0
            for half in halves:
                both[side][start : start + len(half), node] = half
                start += len(half)
        inputs, outputs = (matrix.reshape(-1, manifest.reduced) for matrix in both)
        return inputs, outputs

    def matrices(self, node: str) -> dict[Side, dict[Kind, Half]]:
        """Returns a node's vectors as stored: ``[side]["red" or "raw"]``, f16 ``[records, dims]``.

        Raises:
            KeyError: The run has no such node.
            RunDataGone: A chunk is missing or damaged.
        """
        columns = [self.manifest().layout.column(node, side) for side in SIDES]
        reduced, raw = (
            [np.concatenate(halves) for halves in self._columns(kind, columns)]
            for kind in ("red", "raw")
        )
        return {
            side: {"red": reduced[place], "raw": raw[place]} for place, side in enumerate(SIDES)
        }

    def validated_raw(self) -> Half:
        """Returns the raw vectors of the validated outputs as stored, f16 ``[records, 256]``.

        Raises:
            RunDataGone: A chunk is missing or damaged.
        """
        (found,) = self._columns("raw", [self.manifest().layout.validated])
        return np.concatenate(found)

    def _columns(self, kind: Kind, columns: Sequence[int]) -> list[list[Half]]:
        """Each column as one f16 ``[records, dims]`` a chunk, read without the other columns."""
        manifest = self.manifest()
        runs = _neighbours(columns)
        spans: list[Span] = []
        for number, entry in enumerate(manifest.chunks):
            name = self._keys.chunk(VECTORS, number)
            shape = self._shape(entry)
            spans.append((name, 0, manifest.header_bytes))
            spans += [(name, *shape.span(kind, run[0], len(run))) for run in runs]
        blocks = iter(read_spans(self._redis, spans))
        parts: list[list[Half]] = [[] for _ in columns]
        for number, entry in enumerate(manifest.chunks):
            with damage_in(self._keys.chunk(VECTORS, number)):
                header = decode_header(next(blocks))
                shape = self._shape(entry)
                if header.crc != entry.crc or header.length != shape.length:
                    raise ChunkError("it is of another write than the manifest")
                place = iter(parts)
                for run in runs:
                    block = memoryview(next(blocks))
                    size = shape.span(kind, run[0])[1] - shape.span(kind, run[0])[0]
                    for position, column in enumerate(run):
                        part = block[position * size : (position + 1) * size]
                        next(place).append(header.decode(kind, column, part))
        return parts

    def _shape(self, entry: ChunkEntry) -> Header:
        """A chunk's header as far as the manifest knows it, which says where its columns lie."""
        manifest = self.manifest()
        columns = manifest.layout.columns
        return Header(entry.traces, columns, manifest.reduced, manifest.raw, b"", (), entry.crc)


def _neighbours(columns: Sequence[int]) -> list[list[int]]:
    """Cuts columns into runs that lie side by side, so that each run is one read."""
    runs: list[list[int]] = []
    for column in columns:
        if runs and column == runs[-1][-1] + 1:
            runs[-1].append(column)
        else:
            runs.append([column])
    return runs


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
