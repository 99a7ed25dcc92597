"""Stage 47: what a run takes over from an archive into its candidate pool."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from cascade_operator.agents.candidate import Candidate
from cascade_operator.training.pool import MAX_CANDIDATES, CandidatePool


@dataclass(frozen=True, slots=True)
class Joined:
    """A pool with archived candidates in it.

    Attributes:
        pool: The pool.
        indices: Node name -> digest of a candidate as it was archived -> its index in the pool.
        dropped: Demonstrations left out because their record is no longer in training.
    """

    pool: CandidatePool
    indices: Mapping[str, Mapping[str, int]]
    dropped: int

    def choice(self, program: Mapping[str, Candidate]) -> dict[str, int] | None:
        """Returns an archived program as candidate indices.

        Args:
            program: Node name -> candidate, as archived.

        Returns:
            None when one of its candidates has not joined.
        """
        choice: dict[str, int] = {}
        for node, candidate in program.items():
            index = self.indices.get(node, {}).get(candidate.digest)
            if index is None:
                return None
            choice[node] = index
        return choice


def join_archived(
    pool: CandidatePool,
    archived: Mapping[str, Sequence[Candidate]],
    training_ids: Collection[str],
) -> Joined:
    """Adds archived candidates to the pool, behind what is there.

    A demonstration stays only if its record is in today's training split: one whose record now
    validates or is held out would leak the answer. A candidate the pool already has is not added
    again, and one for a node this cascade lacks is left out.

    Args:
        pool: This run's candidates.
        archived: Node name -> its archived best candidates, the most wanted first.
        training_ids: Record ids of this run's training split.
    """
    candidates = dict(pool.candidates)
    indices: dict[str, dict[str, int]] = {}
    dropped = 0
    for node, found in archived.items():
        if node not in candidates:
            continue
        digests = [known.digest for known in candidates[node]]
        for candidate in found:
            kept = tuple(d for d in candidate.demonstrations if d.record_id in training_ids)
            dropped += len(candidate.demonstrations) - len(kept)
            joined = replace(candidate, demonstrations=kept, source="archived")
            if joined.digest not in digests:
                if len(digests) >= MAX_CANDIDATES:
                    break
                digests.append(joined.digest)
                candidates[node] = (*candidates[node], joined)
            index = digests.index(joined.digest)
            indices.setdefault(node, {})[candidate.digest] = index
    return Joined(CandidatePool(candidates), indices, dropped)
