"""One operator a namespace (87): who serves some namespaces claims each; who serves all yields.

A claim is a Lease of a known name in the namespace, held by an operator, not by a replica: which
of its replicas works, its own Lease says. So a claim is not given up when a replica ends, and the
next one renews it at once; another operator takes it half a minute after the last renewal.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.fields import mapping, objects, text
from cascade_operator.control.kube.paging import list_pages
from cascade_operator.control.kube.port import ClusterError, RefusedError
from cascade_operator.control.manifests.rbac import CLAIM
from cascade_operator.control.runtime.candidate import Candidate, Terms
from cascade_operator.control.runtime.lease import (
    KubeLeases,
    Lease,
    LeaseStore,
    micro_time,
    read_lease,
)
from cascade_operator.control.runtime.logs import log
from cascade_operator.control.runtime.settings import Settings

_STAGE: Final = 87
_TERMS: Final = Terms(duration=30.0, renew=20.0, retry=10.0)
_ROUND_SECONDS: Final = 5.0
_NAME: Final = 253
_LEASES: Final = "/apis/coordination.k8s.io/v1/leases"

Sleep = Callable[[float], Awaitable[None]]


class Territory(Protocol):
    """Which namespaces are this operator's to serve."""

    @property
    def elsewhere(self) -> str:
        """Which of those it was given another operator serves, in words; empty: none."""
        ...

    def serves(self, namespace: str) -> bool:
        """Whether sessions of a namespace may be moved on now."""
        ...

    async def run(self, changed: Callable[[], None]) -> None:
        """Keeps it true until cancelled.

        Args:
            changed: Is called when a namespace was gained.
        """
        ...


class Everywhere:
    """Without leadership nothing is claimed: who starts such an operator sees to it."""

    elsewhere = ""

    def serves(self, namespace: str) -> bool:
        """See ``Territory``."""
        del namespace
        return True

    async def run(self, changed: Callable[[], None]) -> None:
        """See ``Territory``."""
        del changed
        await asyncio.Event().wait()


class Claims:
    """For an operator of some namespaces: claims each, and serves those it holds."""

    def __init__(
        self,
        stores: Mapping[str, LeaseStore],
        operator: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Prepares; nothing is asked yet.

        Args:
            stores: The claim of each namespace.
            operator: What all replicas of this operator call themselves.
            clock: Monotonic, in seconds.
            sleep: Waits so many seconds of that clock.
            wall: The time of day, for readers of the Lease.
            chance: 0 to 1, for jitter.
        """
        self._stores, self._operator = stores, operator
        self._clock, self._sleep, self._wall, self._chance = clock, sleep, wall, chance
        self._candidates = {name: Candidate(operator, _TERMS) for name in stores}
        self._said: dict[str, str] = {}

    @property
    def elsewhere(self) -> str:
        """See ``Territory``."""
        found = [(name, self._other(name)) for name in self._candidates]
        return "; ".join(f"namespace {name} is served by {other}" for name, other in found if other)

    def serves(self, namespace: str) -> bool:
        """See ``Territory``."""
        candidate = self._candidates.get(namespace)
        return candidate is not None and candidate.leads(self._clock())

    async def run(self, changed: Callable[[], None]) -> None:
        """See ``Territory``."""
        async with asyncio.TaskGroup() as tasks:
            for namespace in self._stores:
                tasks.create_task(self._keep(namespace, changed), name=f"claim of {namespace}")

    async def _keep(self, namespace: str, changed: Callable[[], None]) -> None:
        candidate = self._candidates[namespace]
        while True:
            had = self.serves(namespace)
            await self._round(namespace, candidate)
            if not had and self.serves(namespace):
                self._say(namespace, f"namespace {namespace} is ours to serve", logging.INFO)
                changed()
            await self._sleep(candidate.pause(self._clock(), self._chance()))

    async def _round(self, namespace: str, candidate: Candidate) -> None:
        """Looks, and writes where it may."""
        store = self._stores[namespace]
        try:
            async with asyncio.timeout(_ROUND_SECONDS):
                if not self.serves(namespace):
                    candidate.saw(await store.read(), self._clock())
                wanted = candidate.next_write(self._clock(), micro_time(self._wall()))
                if wanted is None:
                    self._tell(namespace)
                    return
                asked = self._clock()
                candidate.wrote(await store.write(wanted), asked, self._clock())
        except (ClusterError, TimeoutError) as error:
            said = str(error) or type(error).__name__
            self._say(namespace, f"the claim of {namespace} failed: {said}", logging.WARNING)

    def _other(self, namespace: str) -> str:
        lease = self._candidates[namespace].seen
        return "" if lease is None or lease.holder == self._operator else lease.holder

    def _tell(self, namespace: str) -> None:
        self._say(
            namespace,
            f"namespace {namespace} is served by {self._other(namespace)}: its sessions are left "
            "alone; to mend: name each namespace for one operator only (--namespace, the chart's "
            "watchNamespaces)",
            logging.ERROR,
        )

    def _say(self, namespace: str, words: str, level: int) -> None:
        if self._said.get(namespace) != words:
            self._said[namespace] = words
            log(_STAGE, words, level=level)


class Yields:
    """For an operator of the whole cluster: leaves alone what another one has claimed."""

    elsewhere = ""

    def __init__(
        self,
        read: Callable[[], Awaitable[Mapping[str, Lease]]],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Prepares; nothing is asked yet.

        Args:
            read: Returns the claims of all namespaces; may raise ``ClusterError``.
            clock: Monotonic, in seconds.
            sleep: Waits so many seconds of that clock.
        """
        self._read, self._clock, self._sleep = read, clock, sleep
        self._seen: dict[str, Candidate] = {}
        self._taken: dict[str, str] | None = None

    def serves(self, namespace: str) -> bool:
        """See ``Territory``. Nothing is served before the first look."""
        return self._taken is not None and namespace not in self._taken

    async def run(self, changed: Callable[[], None]) -> None:
        """See ``Territory``."""
        while True:
            await self._look(changed)
            await self._sleep(_TERMS.retry)

    async def _look(self, changed: Callable[[], None]) -> None:
        try:
            found = await self._read()
        except RefusedError as error:
            # The right is new: an operator without it works as it did before.
            if self._taken is None:
                log(_STAGE, f"claims cannot be seen: {error}", level=logging.WARNING)
            found = {}
        except ClusterError:
            return
        now = self._clock()
        for name in {*found, *self._seen}:
            candidate = self._seen.setdefault(name, Candidate("", _TERMS))
            candidate.saw(found.get(name), now)
        self._seen = {name: one for name, one in self._seen.items() if name in found}
        before = self._taken
        self._taken = taken = {
            name: one.seen.holder
            for name, one in self._seen.items()
            if one.seen is not None and now < one.free_at()
        }
        for name in sorted(taken.keys() - (before or {}).keys()):
            log(_STAGE, f"namespace {name} is served by {taken[name]}: it is left to that")
        if before is None or before.keys() - taken.keys():
            changed()


async def read_claims(api: KubeApi) -> dict[str, Lease]:
    """Returns the claim of each namespace that has one.

    Raises:
        ClusterError: The API server failed, or refuses.
    """
    # From the server's memory: a cluster has a Lease a node, and etcd would read them all.
    query = {"fieldSelector": f"metadata.name={CLAIM}", "resourceVersion": "0"}
    return {
        text(mapping(item.get("metadata")).get("namespace"), _NAME): read_lease(item)
        async for page in list_pages(api, _LEASES, query=query)
        for item in objects(page.get("items"))
    }


def territory_of(api: KubeApi, settings: Settings) -> Territory:
    """Returns what an operator with these settings shares the cluster by."""
    lease = settings.lease
    if not lease.enabled:
        return Everywhere()
    if not settings.namespaces:
        return Yields(lambda: read_claims(api))
    stores = {name: KubeLeases(api, name, CLAIM) for name in settings.namespaces}
    # All replicas share it: which of them works, their own Lease says.
    return Claims(stores, f"{lease.namespace or api.namespace}/{lease.name}")
