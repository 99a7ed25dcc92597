"""The names of a run's keys in Redis, and of the shared caches'."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunKeys:
    """Keys of one run. The uid stands in braces so that a Redis Cluster keeps a run together.

    Attributes:
        uid: The session object's uid.
        run: The run's number.
    """

    uid: str
    run: int

    @property
    def prefix(self) -> str:
        """What all keys of the run start with."""
        return f"cascade:{{{self.uid}}}:{self.run}:"

    def chunk(self, kind: str, index: int) -> str:
        """A chunk of the trace store: ``red``, ``raw`` or ``text``."""
        return f"{self.prefix}chunk:{kind}:{index}"

    def manifest(self) -> str:
        """The trace store's manifest."""
        return f"{self.prefix}manifest"

    def pool(self) -> str:
        """The candidate pool."""
        return f"{self.prefix}pool"

    def reducer(self) -> str:
        """The fitted reducer, as npz."""
        return f"{self.prefix}reducer"

    def prepare_state(self) -> str:
        """What prepare has finished so far."""
        return f"{self.prefix}prepare"

    def warm_start(self) -> str:
        """What was taken over from earlier archives."""
        return f"{self.prefix}warm-start"

    def checkpoint(self, group_key: str) -> str:
        """A group's search."""
        return f"{self.prefix}checkpoint:{group_key}"

    def posterior(self, group_key: str) -> str:
        """A group's prior, carried over from an earlier run."""
        return f"{self.prefix}posterior:{group_key}"

    def result(self, group_key: str) -> str:
        """A group's final figures."""
        return f"{self.prefix}result:{group_key}"

    def progress(self, name: str) -> str:
        """The live figures of a Job: ``prepare``, ``archive`` or a group's key."""
        return f"{self.prefix}progress:{name}"

    def timeline(self) -> str:
        """A hash: one field for each attempt of each Job, with its stages and memory."""
        return f"{self.prefix}timeline"

    def document(self, name: str) -> str:
        """What the run says of itself for a reader, by its name in the archives."""
        return f"{self.prefix}document:{name}"

    def archived(self) -> str:
        """What the final archive Job wrote, while it removes the run's keys."""
        return f"{self.prefix}archived"

    def program(self) -> str:
        """The best program, for the operator to publish; not below the prefix, so it stays."""
        return f"cascade:{{{self.uid}}}:program:{self.run}"

    def counter(self, name: str) -> str:
        """A counter of the run's budget: ``calls``, ``tokens``, ``cost``."""
        return f"{self.prefix}counter:{name}"

    def calls(self, name: str) -> str:
        """What a Job called, over all of its attempts: ``prepare`` or a group's key."""
        return f"{self.prefix}calls:{name}"

    def budget(self) -> str:
        """The shares of the budget, by level of the lattice."""
        return f"{self.prefix}budget"


def cache_key(namespace: str, digest: str) -> str:
    """A cached answer of a model server."""
    return f"cascade:cache:{namespace}:{digest}"


def embedding_cache_key(namespace: str, digest: str) -> str:
    """A cached embedding."""
    return f"cascade:embedding:{namespace}:{digest}"
