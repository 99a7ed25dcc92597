"""What a Job asks models with: chat models, the embedder, and the metric over both."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from cascade_operator.agents.cascade import Cascade
from cascade_operator.agents.dspy_settings import configure_dspy
from cascade_operator.api.calls import CallFigures
from cascade_operator.api.errors import ServiceUnavailable
from cascade_operator.api.groups import NodeGroup
from cascade_operator.api.models_spec import EmbeddingSpec
from cascade_operator.api.search_spec import BudgetSpec, Scope
from cascade_operator.api.status import SpentStatus
from cascade_operator.traces.embedding import TextEmbedder, make_embedder
from cascade_operator.traces.embedding_cache import CachedEmbedder
from cascade_operator.training.calls.budget import BudgetCounters, BudgetLimits, Spent
from cascade_operator.training.calls.call_cache import SingleFlightCache
from cascade_operator.training.calls.factory import CallServices, lm_for_nodes
from cascade_operator.training.calls.job_figures import JobFigures
from cascade_operator.training.calls.meter import CallMeter
from cascade_operator.training.calls.secret import read_secret
from cascade_operator.training.calls.shared_embedding import SharedEmbedder
from cascade_operator.training.metric import ObjectiveMetric, make_metric
from cascade_operator.worker.context import JobContext

EMBEDDING_CACHE = ".embedding-cache"
"""Folder on the archives' volume; a leading dot keeps it out of the archives' catalogue."""


@dataclass(frozen=True, slots=True)
class JobCalls:
    """The models of one Job; at the block's end it keeps no other Job waiting for its calls."""

    context: JobContext
    services: CallServices
    job: JobFigures

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.services.cache.close()
        if not isinstance(error, ServiceUnavailable):  # it may be Redis that is away
            self.job.keep()

    def cascade(self) -> Cascade:
        """Returns the session's cascade, bound to its models."""
        spec = self.context.config.spec
        return Cascade(spec.cascade, lm_for_nodes(spec.models, self.services))

    def figures(self) -> CallFigures:
        """Returns what the Job called so far, in all its attempts."""
        return self.job.figures()

    def kept_figures(self) -> CallFigures:
        """Returns the figures once they stand where a later attempt will find them."""
        return self.job.keep()

    def spent(self) -> SpentStatus | None:
        """Returns what the run's Jobs have spent together; None where Redis does not say."""
        try:
            found = None if self.services.budget is None else self.services.budget.spent()
        except ServiceUnavailable:
            return None
        if found is None:
            return None
        return SpentStatus(
            calls=max(0, found.calls),
            tokens=max(0, found.tokens),
            cost_micros=max(0, found.cost_micros),
        )

    def embedder(self, *, on_volume: bool = False) -> TextEmbedder:
        """Returns the embedder, behind the cache that Jobs share.

        Args:
            on_volume: Keep vectors on the archives' volume too, across runs (prepare only:
                groups do not mount it).
        """
        spec = self.context.config.spec.models.embedding
        inner = embedder_of(spec)
        if on_volume:
            inner = CachedEmbedder(inner, self.context.archives / EMBEDDING_CACHE)
        return SharedEmbedder(inner, self.services.cache, self.services.namespace)

    def metric(self, group: NodeGroup | None = None) -> ObjectiveMetric:
        """Returns the objective's metric.

        Args:
            group: With scope Group, the group whose last node is scored.
        """
        objective = self.context.config.spec.objective
        last = group.nodes[-1] if group and objective.scope is Scope.GROUP else None
        return make_metric(
            objective.metric.value,
            embed=self.embedder().embed,
            function=objective.function or None,
            group_last_node=last,
        )


def open_calls(context: JobContext, name: str, spent: SpentStatus | None = None) -> JobCalls:
    """Prepares DSPy and what all models of the process share. Makes no call to a model.

    Args:
        context: The Job's context.
        name: ``prepare`` or the group's key: whose calls they are.
        spent: What status knows that the run has spent: a Redis that was lost forgot it.

    Raises:
        ServiceUnavailable: Redis does not take that mark.
    """
    configure_dspy()
    config, meter = context.config, CallMeter()
    job = JobFigures(meter, context.redis, context.keys.calls(name))
    job.restore()
    budget = BudgetCounters(context.redis, context.keys, limits(config.spec.budget), job)
    if spent is not None:
        budget.restore(Spent(spent.calls, spent.tokens, spent.cost_micros))
    services = CallServices(
        namespace=config.namespace,
        cache=SingleFlightCache(context.redis, stop=context.stop.event),
        meter=meter,
        budget=budget,
        stop=context.stop.event,
        seed=config.spec.optimizer.seed,
    )
    return JobCalls(context, services, job)


def limits(budget: BudgetSpec) -> BudgetLimits:
    """Returns a session's budget as the counters take it."""
    return BudgetLimits(budget.max_model_calls, budget.max_tokens, budget.max_cost)


def embedder_of(spec: EmbeddingSpec) -> TextEmbedder:
    """Returns a session's embedder, with its key where the server wants one.

    Raises:
        ServiceUnavailable: The key's Secret is not there.
    """
    reference = spec.api_key_secret_ref
    key = "" if reference is None else read_secret(reference.name, reference.key)
    return make_embedder(spec, api_key=key)
