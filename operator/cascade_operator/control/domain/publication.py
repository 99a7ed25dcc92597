"""Publishing a complete run's best program (58).

Asked for, done, then written down: a port keeps the last outcome in memory, and it stands in status
a turn later. Whoever is killed in between asks again, and what is published already is only read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from cascade_operator.api.resolve import has_own_redis
from cascade_operator.api.status import ConditionType, PublishedStatus, TrainingSessionStatus
from cascade_operator.control.domain.draft import Draft, Situation, bounded
from cascade_operator.control.domain.model import Publication, PublishProgram
from cascade_operator.control.domain.policies.publishing import PublishReason, hindrance
from cascade_operator.control.manifests.naming import run_of_config_map
from cascade_operator.control.manifests.published import PublishRequest

AGAIN_SECONDS: Final = 300.0
"""Between two tries of what a person has to mend."""
KEPT_SECONDS: Final = 14 * 24 * 3600.0
"""How long the program lies in Redis: after that no try can succeed."""


def look_at_publication(draft: Draft, situation: Situation) -> tuple[Draft, PublishProgram | None]:
    """Writes down what came of publishing, and says whether to try now.

    Only the end of a run that stands in the observed status counts.
    """
    status = situation.observed.session.status
    name = situation.spec.publish.config_map
    if not name or not _is_complete(status) or status.run is None:
        return draft, None
    if run_of_config_map(name) is not None:
        text = f"{name} is a name of the runs' own ConfigMaps; name another"
        return _decided(draft, name, PublishReason.CONFLICT, text), None
    observed = situation.observed
    declared = observed.session.spec
    stops = hindrance(
        status.best,
        status.run.program,
        least=situation.spec.publish.min_improvement,
        own_redis=declared is not None
        and has_own_redis(declared, observed.defaults)
        and not observed.reads_any_redis,
    )
    if stops is not None:
        return _decided(draft, name, stops.reason, stops.message), None
    request = _request(status, name, situation)
    if _stands(status.published, request):
        return draft, None
    known = _known(request, situation)
    if known is None:
        return draft, PublishProgram(request)
    draft = _recorded(draft, known)
    again = next_publication(draft.status, situation)
    due = again is not None and situation.now >= again
    return draft, PublishProgram(request) if due else None


def next_publication(status: TrainingSessionStatus, situation: Situation) -> datetime | None:
    """When what could not be published is tried again; None where nothing is to be."""
    known, run = situation.observed.publication, status.run
    if known is None or run is None or run.completion_time is None:
        return None
    if known.reason is PublishReason.PUBLISHED or known.request.run != run.number:
        return None
    again = known.time.replace(microsecond=0) + timedelta(seconds=AGAIN_SECONDS)
    return again if again < run.completion_time + timedelta(seconds=KEPT_SECONDS) else None


def _is_complete(status: TrainingSessionStatus) -> bool:
    if status.run is None or status.run.completion_time is None:
        return False
    return any(c.type is ConditionType.COMPLETE and c.status == "True" for c in status.conditions)


def _request(status: TrainingSessionStatus, name: str, situation: Situation) -> PublishRequest:
    session, run, best = situation.observed.session, status.run, status.best
    if run is None or run.program is None or best is None:
        raise ValueError("nothing hinders a program from being published that is not there")
    return PublishRequest(
        namespace=session.namespace,
        session=session.name,
        uid=session.uid,
        config_map=name,
        run=run.number,
        group=best.group,
        score=best.score,
        improvement=best.improvement or "",
        sha256=run.program.sha256,
        bytes=run.program.bytes,
    )


def _stands(published: PublishedStatus | None, request: PublishRequest) -> bool:
    return (
        published is not None
        and published.reason == PublishReason.PUBLISHED
        and (published.decided_run, published.config_map) == (request.run, request.config_map)
        and (published.group, published.sha256) == (request.group, request.sha256)
    )


def _known(request: PublishRequest, situation: Situation) -> Publication | None:
    known = situation.observed.publication
    return known if known is not None and known.request == request else None


def _recorded(draft: Draft, known: Publication) -> Draft:
    request = known.request
    facts: dict[str, Any] = {}
    text = known.message
    if known.reason is PublishReason.PUBLISHED:
        text = f"run {request.run}: the program of group {request.group} is in {request.config_map}"
        facts = {
            "run": request.run,
            "group": request.group,
            "score": request.score,
            "sha256": request.sha256,
            "time": known.time,
        }
    return _decided(draft, request.config_map, known.reason, text, facts)


def _decided(
    draft: Draft,
    name: str,
    reason: PublishReason,
    text: str,
    facts: Mapping[str, Any] | None = None,
) -> Draft:
    """Writes a decision down, and tells it if it is another than the one that stands."""
    before = draft.status.published or PublishedStatus()
    kept = before if before.config_map == name else PublishedStatus()
    number, words = draft.run.number, bounded(text)
    decided = (str(reason), number, name)
    if (before.reason, before.decided_run, before.config_map) == decided and not facts:
        words = before.message if reason is not PublishReason.SKIPPED else words
    told = kept.model_copy(
        update={
            **(facts or {}),
            "reason": str(reason),
            "message": words,
            "decided_run": number,
            "config_map": name,
        }
    )
    if told == before:
        return draft
    draft = draft.put(published=told)
    if reason in (PublishReason.PUBLISHED, PublishReason.SKIPPED):
        return draft.note(str(reason), words)
    return draft.warn(str(reason), words)
