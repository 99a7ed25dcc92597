"""Lists, page by page (80)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from cascade_operator.control.kube.fields import mapping, objects, text
from cascade_operator.control.kube.resources import JSON

if TYPE_CHECKING:
    from cascade_operator.control.kube.api import KubeApi

PAGE: Final = 500
_CONTINUATION: Final = 10_000


async def list_pages(
    api: KubeApi,
    path: str,
    *,
    query: Mapping[str, str | int] | None = None,
    accept: str = JSON,
    seconds: float = 30.0,
) -> AsyncIterator[Mapping[str, Any]]:
    """Yields a list's pages: ``items``, and in ``metadata`` the version that all of them show.

    Args:
        api: The API server.
        path: The list's path.
        query: Parameters beside those of paging.
        accept: What to ask for, e.g. metadata alone.
        seconds: After which a page is given up.

    Raises:
        GoneError: A page's continuation has grown too old: begin anew.
        ClusterError: The API server failed, or refuses.
    """
    asked: dict[str, str | int] = {"limit": PAGE, **(query or {})}
    while True:
        answer = await api.request("GET", path, query=asked, accept=accept, seconds=seconds)
        yield answer
        following = text(mapping(answer.get("metadata")).get("continue"), _CONTINUATION)
        if not following:
            return
        asked["continue"] = following


async def list_items(api: KubeApi, path: str) -> AsyncIterator[Mapping[str, Any]]:
    """Yields a list's items; fails as :func:`list_pages` does."""
    async for page in list_pages(api, path):
        for item in objects(page.get("items")):
            yield item
