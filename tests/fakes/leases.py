"""A Lease in memory, with the failures of a network."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from cascade_operator.control.kube.errors import UnreachableError
from cascade_operator.control.kube.port import ConflictError
from cascade_operator.control.runtime.lease import Lease


@dataclass
class FakeLeases:
    """Implements ``LeaseStore``; shared by the replicas of a test."""

    lease: Lease | None = None
    version: int = 0
    writes: int = 0
    silent: bool = False
    """Requests never come back."""

    async def read(self) -> Lease | None:
        await self._network()
        return self.lease

    async def write(self, lease: Lease) -> Lease:
        await self._network()
        return self.put(lease)

    def put(self, lease: Lease) -> Lease:
        """Writes as the API server would."""
        if lease.version != ("" if self.lease is None else self.lease.version):
            raise ConflictError("written by another")
        self.version += 1
        self.writes += 1
        self.lease = replace(lease, version=str(self.version))
        return self.lease

    async def _network(self) -> None:
        if self.silent:
            await asyncio.Event().wait()


@dataclass
class Link:
    """One replica's own way to the store, which may be cut."""

    store: FakeLeases
    cut: bool = False
    loses_answers: bool = False

    async def read(self) -> Lease | None:
        self._check()
        return await self.store.read()

    async def write(self, lease: Lease) -> Lease:
        self._check()
        written = await self.store.write(lease)
        if self.loses_answers:
            raise UnreachableError("the answer was lost")
        return written

    def _check(self) -> None:
        if self.cut:
            raise UnreachableError("no route")
