"""What the Jobs of a run leave for each other in Redis, beside traces and checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import redis

from cascade_operator.api.canonical import canonical_json, strict_json
from cascade_operator.api.errors import DataError, RunDataGone, ServiceUnavailable
from cascade_operator.api.keys import RunKeys
from cascade_operator.api.records import ArchiveResult, GroupResult, PrepareResult
from cascade_operator.api.redis_mends import redis_mend
from cascade_operator.archive.arrays import check_npz
from cascade_operator.archive.errors import MalformedError
from cascade_operator.archive.members import DOCUMENTS, TIMELINE, byte_cap
from cascade_operator.monitoring.stage_log import log_stage
from cascade_operator.training.checkpoint import RedisCheckpoints
from cascade_operator.training.outcome import GroupOutcome
from cascade_operator.training.pool import CandidatePool
from cascade_operator.training.posterior import Posterior
from cascade_operator.training.results import read_result, result_document
from cascade_operator.training.trial import whole_number
from cascade_operator.worker.timelines import merge_timelines

TTL_SECONDS: Final = 14 * 24 * 3600
MAX_BYTES: Final = 64 << 20
_PREPARE_AGAIN: Final = "prepare writes it again"
_DAMAGE: Final = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    DataError,
    MalformedError,
)


@dataclass(frozen=True, slots=True)
class GroupStart:
    """What a warm start gives one group.

    Attributes:
        choice: The archived program as candidates of this run's pool; None without one.
        prior: The posterior to start from; None for a uniform one.
    """

    choice: Mapping[str, int] | None = None
    prior: Posterior | None = None


class RunData:
    """Typed reads and writes under a run's keys; each renews its time to live."""

    def __init__(self, client: redis.Redis, keys: RunKeys) -> None:
        self._redis = client
        self._keys = keys

    def put_pool(self, pool: CandidatePool) -> None:
        """Writes the candidate pool."""
        self._put(self._keys.pool(), pool.to_bytes())

    def pool(self) -> CandidatePool:
        """Reads the candidate pool.

        Raises:
            RunDataGone: It is not there, or damaged.
        """
        key = self._keys.pool()
        data = self._get(key)
        if data is None:
            raise RunDataGone(f"{key} is no longer in Redis", mend=_PREPARE_AGAIN)
        with self._damage(key):
            return CandidatePool.from_bytes(data)

    def pool_of(self, nodes: Sequence[str]) -> CandidatePool:
        """Reads the candidate pool of these nodes.

        Raises:
            RunDataGone: It is not there, damaged, or of other nodes.
        """
        pool = self.pool()
        if list(pool.candidates) != list(nodes):
            raise RunDataGone(
                f"{self._keys.pool()} in Redis is damaged: it is of other nodes",
                mend=_PREPARE_AGAIN,
            )
        return pool

    def put_reducer(self, npz: bytes) -> None:
        """Writes the fitted reducer."""
        self._put(self._keys.reducer(), npz)

    def reducer(self) -> bytes | None:
        """Reads the fitted reducer, where there is one.

        Raises:
            RunDataGone: It is damaged; no archive could be read that holds it.
        """
        data = self._get(self._keys.reducer())
        if data is not None:
            with self._damage(self._keys.reducer()):
                check_npz(data)
        return data

    def put_start(self, group_key: str, start: GroupStart) -> None:
        """Writes what a warm start gives a group."""
        value = {
            "choice": None if start.choice is None else dict(start.choice),
            "prior": None if start.prior is None else start.prior.to_json(),
        }
        self._put_json(self._keys.posterior(group_key), value)

    def start(self, group_key: str, *, validation: int | None = None) -> GroupStart:
        """Reads what a warm start gives a group; nothing where there was none.

        Args:
            group_key: The group.
            validation: Records of the validation split, where they are known.

        Raises:
            RunDataGone: It is damaged, or of another number of records.
        """
        value = self._get_json(self._keys.posterior(group_key))
        if value is None:
            return GroupStart()
        with self._damage(self._keys.posterior(group_key)):
            choice, found = value["choice"], value["prior"]
            prior = None if found is None else Posterior.from_json(found)
            if prior is not None and validation not in (None, len(prior)):
                raise ValueError(f"its posterior is over {len(prior)} records")
            return GroupStart(
                None if choice is None else {str(n): whole_number(i) for n, i in choice.items()},
                prior,
            )

    def put_outcome(self, outcome: GroupOutcome, figures: GroupResult) -> None:
        """Writes a group's result, whole and as figures."""
        self.put_result(outcome.group.key, result_document(outcome, figures))

    def put_result(self, group_key: str, document: Mapping[str, Any]) -> None:
        """Writes a group's result document, as an archive held it."""
        self._put_json(self._keys.result(group_key), document)

    def drop_result(self, group_key: str) -> None:
        """Removes a group's result."""
        self._drop(self._keys.result(group_key))

    def drop_start(self, group_key: str) -> None:
        """Removes what a warm start gave a group."""
        self._drop(self._keys.posterior(group_key))

    def unfit_result(self, group_key: str) -> AbstractContextManager[None]:
        """Turns what is found wrong with a group's result into the loss of the run's data."""
        return self._damage(self._keys.result(group_key))

    def outcome(self, group_key: str) -> tuple[GroupOutcome, GroupResult] | None:
        """Reads a group's result; None while it has none."""
        value = self._get_json(self._keys.result(group_key))
        if value is None:
            return None
        with self._damage(self._keys.result(group_key)):
            return read_result(value)

    def put_prepared(self, result: PrepareResult) -> None:
        """Marks prepare as done."""
        self._put_json(self._keys.prepare_state(), result.dump())

    def prepared(self) -> PrepareResult | None:
        """Returns what prepare made, once it is done."""
        value = self._get_json(self._keys.prepare_state())
        if value is None:
            return None
        with self._damage(self._keys.prepare_state()):
            return PrepareResult.model_validate(value)

    def put_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Writes what the run says of itself for a reader: one of the archives' ``DOCUMENTS``."""
        self._put_json(self._keys.document(name), document)

    def put_documents(self, documents: Mapping[str, bytes]) -> None:
        """Writes documents as an archive held them."""
        for name, data in documents.items():
            self._put(self._keys.document(name), data)

    def collect_timeline(self) -> None:
        """Makes the timeline's document of what each attempt of each Job has left so far.

        A restored run keeps the attempts of its archive: they are known by Job, attempt and start.
        """
        held = self._redis_hash(self._keys.timeline())
        try:
            archived = self._get_json(self._keys.document(TIMELINE))
        except RunDataGone as error:
            log_stage(50, f"the earlier timeline is left out: {error}")
            archived = None
        jobs = merge_timelines(archived, held)
        if jobs:
            self.put_document(TIMELINE, {"version": 1, "jobs": jobs})

    def documents(self) -> dict[str, bytes]:
        """Reads those of the archives' ``DOCUMENTS`` that an archive can take, as JSON.

        No training needs one, so what is damaged or too large is left out and said.
        """
        found = {}
        for name in DOCUMENTS:
            try:
                value = self._get_json(self._keys.document(name))
            except RunDataGone as error:
                log_stage(50, f"{name} is left out: {error}")
                continue
            if not isinstance(value, dict):
                continue
            data = canonical_json(value).encode("utf-8", "replace")
            if len(data) > (byte_cap(name) or 0):
                log_stage(50, f"{name} is left out: it has {len(data)} bytes")
                continue
            found[name] = data
        return found

    def put_program(self, program: bytes) -> None:
        """Keeps the best program for the operator to publish, also when the run's keys are gone."""
        self._put(self._keys.program(), program)

    def put_archived(self, result: ArchiveResult) -> None:
        """Marks the run as archived for good: from now on its keys may go."""
        self._put_json(self._keys.archived(), result.dump())

    def archived(self) -> ArchiveResult | None:
        """Returns what the final archive Job wrote, where it was cut short removing keys."""
        value = self._get_json(self._keys.archived())
        if value is None:
            return None
        with self._damage(self._keys.archived()):
            return ArchiveResult.model_validate(value)

    def checkpoints(self, group_key: str) -> RedisCheckpoints:
        """Returns where a group's search keeps its state."""
        return RedisCheckpoints(self._redis, self._keys.checkpoint(group_key))

    def proposals(self) -> RedisProposals:
        """Returns where proposing keeps its state."""
        return RedisProposals(RedisCheckpoints(self._redis, self._keys.checkpoint("proposals")))

    def clean_up(self) -> int:
        """Stage 86: unlinks every key of the run; returns how many.

        The mark of ``put_archived`` goes last: whoever is cut short in between must not take what
        is left of the run for all of it.
        """
        found, mark = 0, self._keys.archived().encode()
        # A uid is text from elsewhere: as a pattern it must mean itself alone.
        prefix = re.sub(r"([*?\[\]\\])", r"\\\1", self._keys.prefix)
        try:
            for key in self._redis.scan_iter(match=f"{prefix}*", count=1000):
                found += int(self._redis.unlink(key)) if key != mark else 0
            found += int(self._redis.unlink(mark))
        except redis.RedisError as error:
            raise _unavailable(error) from error
        return found

    def _put_json(self, key: str, value: Any) -> None:
        self._put(key, canonical_json(value).encode("utf-8", "replace"))

    def _get_json(self, key: str) -> Any:
        data = self._get(key)
        if data is None:
            return None
        with self._damage(key):
            return strict_json(data)

    def _put(self, key: str, data: bytes) -> None:
        try:
            self._redis.set(key, data, ex=TTL_SECONDS)
        except redis.RedisError as error:
            raise _unavailable(error) from error

    def _drop(self, key: str) -> None:
        try:
            self._redis.unlink(key)
        except redis.RedisError as error:
            raise _unavailable(error) from error

    def _redis_hash(self, key: str) -> Mapping[bytes, bytes]:
        try:
            self._redis.expire(key, TTL_SECONDS)
            found: Any = self._redis.hgetall(key)
        except redis.RedisError as error:
            raise _unavailable(error) from error
        return dict(found)

    def _get(self, key: str) -> bytes | None:
        try:
            data: Any = self._redis.getex(key, ex=TTL_SECONDS)
        except redis.ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise _unavailable(error) from error
            raise RunDataGone(
                f"{key} in Redis is damaged: another type", mend=_PREPARE_AGAIN
            ) from error
        except redis.RedisError as error:
            raise _unavailable(error) from error
        if data is not None and len(data) > MAX_BYTES:
            raise RunDataGone(
                f"{key} in Redis is larger than {MAX_BYTES} bytes", mend=_PREPARE_AGAIN
            )
        return None if data is None else bytes(data)

    @staticmethod
    @contextmanager
    def _damage(key: str) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            raise RunDataGone(f"{key} in Redis is damaged: {error}", mend=_PREPARE_AGAIN) from error


class RedisProposals:
    """Keeps the state of proposing between attempts of prepare."""

    def __init__(self, slots: RedisCheckpoints) -> None:
        self._slots = slots

    def load_state(self) -> dict[str, Any] | None:
        """Returns the latest state; None when there is none."""
        return self._slots.load()

    def save_state(self, state: dict[str, Any]) -> None:
        """Saves a state; raises ServiceUnavailable when that is refused."""
        self._slots.save(state)


def _unavailable(error: Exception) -> ServiceUnavailable:
    return ServiceUnavailable(f"Redis failed: {error}", mend=redis_mend(error))
