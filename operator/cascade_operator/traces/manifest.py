"""Stage 16: which record lies where; the two-way mapping between records and rows of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cascade_operator.traces.chunk import MAX_TRACES, ChunkError, header_length
from cascade_operator.traces.layout import Layout
from cascade_operator.traces.packed import pack_lines, unpack_lines
from cascade_operator.traces.record import Split

_VERSION: Final = 2
_MAX_CHUNKS: Final = 100_000
_MAX_TEXT_CHUNK: Final = 64 << 20
_MAX_NODES: Final = 64


@dataclass(frozen=True, slots=True)
class ChunkEntry:
    """One chunk, as the manifest knows it.

    Attributes:
        traces: How many records it holds.
        crc: The checksum of its vectors' header; a chunk of another write has another.
        text_bytes: Length of its packed text.
        text_crc: The checksum of its packed text, which tells it from another write's too.
    """

    traces: int
    crc: int
    text_bytes: int
    text_crc: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The table of contents of a run's trace store.

    Attributes:
        recipe: The embedding recipe of the raw vectors.
        nodes: The nodes, in cascade order.
        reduced: Length of the reduced vectors.
        raw: Length of the raw vectors.
        chunks: The chunks, in order.
        record_ids: Every record, in the order of chunks and rows.
        splits: Their splits, in the same order.
    """

    recipe: str
    nodes: tuple[str, ...]
    reduced: int
    raw: int
    chunks: tuple[ChunkEntry, ...]
    record_ids: tuple[str, ...]
    splits: tuple[Split, ...]
    _places: dict[str, tuple[int, int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows = [
            (number, row) for number, chunk in enumerate(self.chunks) for row in range(chunk.traces)
        ]
        if not len(rows) == len(self.record_ids) == len(self.splits) or not rows:
            raise ValueError("chunks, records and splits differ in number")
        places = dict(zip(self.record_ids, rows, strict=True))
        if len(places) != len(rows):
            raise ValueError("a record stands in it twice")
        object.__setattr__(self, "_places", places)

    @property
    def layout(self) -> Layout:
        """The columns of the chunks."""
        return Layout(self.nodes)

    @property
    def header_bytes(self) -> int:
        """Length of each chunk's header."""
        return header_length(self.layout.columns)

    def locate(self, record_id: str) -> tuple[int, int]:
        """Returns the chunk and the row of a record.

        Raises:
            KeyError: There is no such record.
        """
        return self._places[record_id]

    def record_at(self, chunk: int, row: int) -> str:
        """Returns the record at a place: the way back.

        Raises:
            IndexError: There is no such place.
        """
        if not 0 <= chunk < len(self.chunks) or not 0 <= row < self.chunks[chunk].traces:
            raise IndexError((chunk, row))
        return self.record_ids[sum(entry.traces for entry in self.chunks[:chunk]) + row]

    def encode(self) -> bytes:
        """Packs the manifest; the same one gives the same bytes."""
        head = {
            "version": _VERSION,
            "recipe": self.recipe,
            "nodes": self.nodes,
            "reduced": self.reduced,
            "raw": self.raw,
            "chunks": [[c.traces, c.crc, c.text_bytes, c.text_crc] for c in self.chunks],
        }
        return pack_lines([head, self.record_ids, self.splits])

    @classmethod
    def decode(cls, block: bytes) -> Manifest:
        """Reads a manifest, trusting nothing in it.

        Raises:
            ChunkError: It is damaged, or of another version.
        """
        try:
            head, record_ids, splits = unpack_lines(block)
            if head["version"] != _VERSION:
                raise ChunkError(f"version {head['version']!r} of the manifest is unknown")
            nodes = _texts(head["nodes"])
            if not 1 <= len(nodes) <= _MAX_NODES or len(head["chunks"]) > _MAX_CHUNKS:
                raise ValueError("its numbers are out of bounds")
            return cls(
                recipe=_texts([head["recipe"]])[0],
                nodes=nodes,
                reduced=int(head["reduced"]),
                raw=int(head["raw"]),
                chunks=tuple(_entry(chunk) for chunk in head["chunks"]),
                record_ids=_texts(record_ids),
                splits=tuple(Split(split) for split in splits),
            )
        except ChunkError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ChunkError(f"the manifest is malformed: {str(error)[:100]}") from None


def _entry(chunk: Sequence[Any]) -> ChunkEntry:
    traces, crc, text_bytes, text_crc = (int(number) for number in chunk)
    if not 1 <= traces <= MAX_TRACES or not 0 < text_bytes <= _MAX_TEXT_CHUNK:
        raise ValueError("a chunk is out of bounds")
    return ChunkEntry(traces, crc, text_bytes, text_crc)


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("a list of texts is something else")
    return tuple(values)
