"""Live figures of all running sessions (61), in one request to the operator's own Redis."""

from __future__ import annotations

from cascade_operator.api.resolve import has_own_redis
from cascade_operator.control.kube.cluster import KubeCluster
from cascade_operator.control.kube.live_figures import LiveFigures, LiveRun
from cascade_operator.control.kube.port import SessionKey

_ENDED = frozenset({"", "Complete", "Failed", "Suspended"})


async def read_live_figures(cluster: KubeCluster, figures: LiveFigures) -> list[SessionKey]:
    """Reads them into the cluster; returns the sessions whose figures have changed."""
    keys: dict[str, SessionKey] = {}
    runs: list[LiveRun] = []
    for summary in list(cluster.cache.sessions):
        if summary.phase in _ENDED:
            continue
        view = cluster.view(summary.key)
        if view is None or view.spec is None or has_own_redis(view.spec, cluster.defaults):
            continue
        run = LiveRun.of(summary.uid, view.status)
        if run is not None:
            keys[summary.uid] = summary.key
            runs.append(run)
    found = await figures.read(runs)
    changed = [keys[uid] for uid in found if found[uid] != cluster.figures.get(uid, {})]
    cluster.figures = found
    return changed
