"""The candidate pool of a run: what each node may run with, candidate 0 first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cascade_operator.agents.candidate import Candidate
from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.errors import DataError

VERSION = 1
MAX_BYTES = 32 * 1024 * 1024
MAX_NODES = 6
MAX_CANDIDATES = 128
_MEND = "Start a run with warmStart.policy None, so that candidates are proposed anew."


@dataclass(frozen=True, slots=True)
class CandidatePool:
    """Candidates by node, in cascade order; index 0 is the program the spec declares."""

    candidates: Mapping[str, tuple[Candidate, ...]]

    @property
    def counts(self) -> dict[str, int]:
        """Node name -> number of candidates."""
        return {node: len(candidates) for node, candidates in self.candidates.items()}

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of every node's programs, in order."""
        programs = {node: [c.digest for c in found] for node, found in self.candidates.items()}
        return hashlib.sha256(canonical_json(programs).encode()).hexdigest()

    def get(self, node: str, index: int) -> Candidate:
        """Returns one candidate.

        Raises:
            DataError: There is none; a choice from elsewhere was applied to this pool.
        """
        found = self.candidates.get(node, ())
        if not 0 <= index < len(found):
            raise DataError(f"node {node} has no candidate {index}", mend=_MEND)
        return found[index]

    def programs(self, choice: Mapping[str, int]) -> dict[str, Candidate]:
        """Returns each node's candidate; nodes the choice leaves out take candidate 0."""
        return {node: self.get(node, choice.get(node, 0)) for node in self.candidates}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "version": VERSION,
            "candidates": {
                node: [candidate.to_json() for candidate in found]
                for node, found in self.candidates.items()
            },
        }

    def to_bytes(self) -> bytes:
        """UTF-8 JSON, the nodes in cascade order."""
        return json.dumps(self.to_json(), ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "replace"
        )

    @classmethod
    def from_json(cls, data: Any) -> CandidatePool:
        """Reads what ``to_json`` wrote; the data may hold anything.

        Raises:
            DataError: It is not a pool of this version, or not bounded as one.
        """
        if not isinstance(data, dict) or set(data) != {"version", "candidates"}:
            raise _broken("it has not the fields of one")
        nodes = data["candidates"]
        if data["version"] != VERSION or not isinstance(nodes, dict):
            raise _broken(f"it is not of version {VERSION}")
        if not 1 <= len(nodes) <= MAX_NODES:
            raise _broken(f"it has {len(nodes)} nodes")
        pool: dict[str, tuple[Candidate, ...]] = {}
        for node, found in nodes.items():
            if not isinstance(found, list) or not 1 <= len(found) <= MAX_CANDIDATES:
                raise _broken(f"node {node[:63]!r} has not 1 to {MAX_CANDIDATES} candidates")
            pool[node] = tuple(Candidate.from_json(candidate) for candidate in found)
        return cls(pool)

    @classmethod
    def from_bytes(cls, data: bytes) -> CandidatePool:
        """Reads what ``to_bytes`` wrote.

        Raises:
            DataError: It is not a pool.
        """
        if len(data) > MAX_BYTES:
            raise _broken(f"it has {len(data)} bytes, more than {MAX_BYTES}")
        try:
            parsed = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise _broken("it is not JSON") from error
        return cls.from_json(parsed)


def _broken(why: str) -> DataError:
    return DataError(f"the candidate pool cannot be read: {why}", mend=_MEND)
