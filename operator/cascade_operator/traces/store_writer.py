"""Stage 15: writes a run's traces chunk by chunk, in memory that does not grow with their number.

Chunks are SET, never appended to, so a write that is repeated after a lost answer changes nothing.
The manifest follows once every chunk stands. It holds the checksums of each chunk's vectors and
text: where a write over an older one was cut short, the older manifest fits the chunks that are
the same and tells the others for what they are, so a reader finds its data or ``RunDataGone``, and
never parts of two writes. It is left in place meanwhile, since a write is mostly repeated with the
same data, below groups that read it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import redis
from numpy.typing import NDArray

from cascade_operator.api.canonical import ordered_json
from cascade_operator.api.errors import DataError
from cascade_operator.traces.chunk import MAX_TRACES, decode_header, encode_chunk
from cascade_operator.traces.manifest import ChunkEntry, Manifest
from cascade_operator.traces.packed import frame_crc, pack_encoded
from cascade_operator.traces.record import Split, TraceRecord
from cascade_operator.traces.redis_blocks import set_blocks

if TYPE_CHECKING:
    from cascade_operator.api.keys import RunKeys

VECTORS: Final = "vectors"
TEXT: Final = "text"

VectorsOf = Callable[[int, int], tuple[NDArray[Any], NDArray[Any]]]
"""Returns the vectors of the records from one place to (not with) another: the embeddings
``[columns, records, raw]`` and the reduced ones ``[columns, records, reduced]``. It is asked for
every record once, in order."""

_SENDERS: Final = 2
_FLUSH_TEXT_BYTES: Final = 8 << 20


def write_traces(  # noqa: PLR0917 - the store's own arguments, handed on
    client: redis.Redis,
    keys: RunKeys,
    records: Sequence[TraceRecord],
    split: Mapping[str, Split],
    vectors: VectorsOf,
    recipe: str,
    *,
    nodes: Sequence[str],
) -> Manifest:
    """Writes the run's traces, replacing what an earlier attempt wrote.

    While the next chunk's vectors and texts are made, one is encoded and another awaits Redis's
    answer, in threads of their own: three are in memory.

    Args:
        client: Of the run's Redis; the threads share it.
        keys: The run's keys.
        records: The records, each with every node of ``nodes``.
        split: Each record's split by name.
        vectors: Gives the records' vectors.
        recipe: The embedder's recipe.
        nodes: The nodes in cascade order.

    Raises:
        DataError: The traces are too many for one run.
        ServiceUnavailable: Redis fails or is full.
        ValueError: The shapes do not fit.
    """
    entries, shape = [], (0, 0)
    send = _Sender(client, keys)
    # Whatever fails in one thread ends all: leaving the block waits for the chunks on their way.
    with ThreadPoolExecutor(_SENDERS, thread_name_prefix="trace-store") as senders:
        sending: deque[Future[ChunkEntry]] = deque()
        for number, (start, lines) in enumerate(_cut(records, split, nodes)):
            raw, reduced = vectors(start, start + len(lines))
            shape = raw.shape[2], reduced.shape[2]
            if raw.shape[:2] != (2 * len(nodes) + 1, len(lines)):
                raise ValueError(f"{raw.shape} is not [{2 * len(nodes) + 1}, {len(lines)}, dims]")
            if len(sending) == _SENDERS:
                entries.append(sending.popleft().result())
            sending.append(senders.submit(send, _Chunk(number, lines, reduced, raw, recipe)))
        entries += [future.result() for future in sending]
    manifest = Manifest(
        recipe=recipe,
        nodes=tuple(nodes),
        reduced=shape[1],
        raw=shape[0],
        chunks=tuple(entries),
        record_ids=tuple(record.record_id for record in records),
        splits=tuple(split[record.record_id] for record in records),
    )
    set_blocks(client, {keys.manifest(): _encoded(manifest)})
    return manifest


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    """What becomes one chunk: its records' lines of text and their vectors."""

    number: int
    lines: list[bytes]
    reduced: NDArray[Any]
    raw: NDArray[Any]
    recipe: str


class _Sender(threading.local):
    """Encodes chunks and sends them, each thread one after the other, through one buffer."""

    def __init__(self, client: redis.Redis, keys: RunKeys) -> None:
        self._client = client
        self._keys = keys
        self._buffer = bytearray()

    def __call__(self, chunk: _Chunk) -> ChunkEntry:
        block = encode_chunk(chunk.reduced, chunk.raw, chunk.recipe, self._buffer)
        if len(block) > len(self._buffer):
            self._buffer = bytearray(len(block))
        text = pack_encoded(chunk.lines)
        names = [self._keys.chunk(kind, chunk.number) for kind in (VECTORS, TEXT)]
        set_blocks(self._client, dict(zip(names, (block, text), strict=True)))
        return ChunkEntry(len(chunk.lines), decode_header(block).crc, len(text), frame_crc(text))


def _encoded(manifest: Manifest) -> bytes:
    try:
        return manifest.encode()
    except ValueError as error:
        raise DataError(
            f"{len(manifest.record_ids)} traces are too many for one run: {error}",
            mend="Lower spec.traces.maxRecords.",
        ) from None


def _cut(
    records: Sequence[TraceRecord], split: Mapping[str, Split], nodes: Sequence[str]
) -> Iterator[tuple[int, list[bytes]]]:
    """Cuts records into even chunks of at most 256; long texts fill one sooner."""
    target = -(-len(records) // -(-len(records) // MAX_TRACES)) if records else 1
    start, size, lines = 0, 0, list[bytes]()
    for place, record in enumerate(records):
        document = {
            "record_id": record.record_id,
            "split": split[record.record_id],
            "inputs": {node: record.inputs[node] for node in nodes},
            "outputs": {node: record.outputs[node] for node in nodes},
            "validated": record.validated,
            "content_hash": record.content_hash,
        }
        lines.append(ordered_json(document).encode())
        size += len(lines[-1])
        if len(lines) == target or size > _FLUSH_TEXT_BYTES:
            yield start, lines
            start, size, lines = place + 1, 0, []
    if lines:
        yield start, lines
