"""A kubeconfig of one context."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml


def write_kubeconfig(
    path: Path,
    server: str,
    user: Mapping[str, str],
    *,
    namespace: str,
    authority: Path | None = None,
    context: str = "here",
) -> Path:
    """Writes it, for its owner's eyes, and returns its path.

    Args:
        path: The file.
        server: The server's URL.
        user: What the user shows: a token, or the paths of a key pair.
        namespace: The context's.
        authority: The certificate that the server must show.
        context: The context's name.
    """
    cluster = {"server": server}
    if authority is not None:
        cluster["certificate-authority"] = str(authority)
    chosen = {"cluster": context, "user": "user", "namespace": namespace}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": "user", "user": dict(user)}],
        "contexts": [{"name": context, "context": chosen}],
        "current-context": context,
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    path.chmod(0o600)
    return path
