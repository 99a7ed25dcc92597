"""Kubeconfig files of the test bed's users."""

from __future__ import annotations

from pathlib import Path

from api.certificates import KeyPair
from fakes import kubeconfig


def write_kubeconfig(
    path: Path,
    server: str,
    authority: Path,
    *,
    user: KeyPair | None = None,
    token: str = "",
    namespace: str = "default",
) -> Path:
    """Writes the kubeconfig of a user who shows a key pair or a token; returns its path."""
    if user is not None:
        shown = {
            "client-certificate": str(user.certificate),
            "client-key": str(user.key),
        }
    else:
        shown = {"token": token}
    return kubeconfig.write_kubeconfig(
        path, server, shown, namespace=namespace, authority=authority, context="testbed"
    )
