"""Why a Job has no pod (80): its controller says so in an event, which no watch of ours tells."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from cascade_operator.control.kube.api import KubeApi
from cascade_operator.control.kube.cache import WatchCache
from cascade_operator.control.kube.fields import objects, text
from cascade_operator.control.kube.port import RefusedError
from cascade_operator.control.kube.resources import EVENTS
from cascade_operator.control.kube.summaries import JobSummary

_POD_SECONDS: Final = 30.0
_WORDS_SECONDS: Final = 60.0
_MOST_WORDS: Final = 950


class PodWords:
    """Asks once a minute, and only where a Job has been without a pod for long."""

    def __init__(self, api: KubeApi) -> None:
        """Has asked nothing yet."""
        self._api = api
        self._words: dict[str, tuple[datetime, str]] = {}

    async def of(self, job: JobSummary) -> str:
        """The Job controller's words about why it could not make a pod; empty without any.

        Raises:
            ClusterError: The API server failed.
        """
        now = datetime.now(UTC)
        since = max((time for time in (job.created, job.resumed) if time), default=now)
        if (now - since).total_seconds() < _POD_SECONDS:
            return ""
        asked, words = self._words.get(job.uid, (None, ""))
        if asked is None or (now - asked).total_seconds() >= _WORDS_SECONDS:
            words = await self._ask(job)
            self._words[job.uid] = (now, words)
        return words

    def tidy(self, cache: WatchCache) -> None:
        """Drops what is remembered of Jobs that are gone."""
        self._words = {uid: said for uid, said in self._words.items() if cache.jobs.get(uid)}

    async def _ask(self, job: JobSummary) -> str:
        query: dict[str, str | int] = {
            "fieldSelector": f"involvedObject.uid={job.uid},reason=FailedCreate",
            "limit": 50,
        }
        try:
            answer = await self._api.request("GET", EVENTS.path(job.namespace), query=query)
        except RefusedError:
            return ""  # without leave to read events the finding is less exact, no more
        found = objects(answer.get("items"))
        last = max(found, key=lambda event: text(event.get("lastTimestamp")), default={})
        return text(last.get("message"), _MOST_WORDS)
