"""Commits as tarballs, served and announced as Flux's source-controller does it.

Its contract: a ``GitRepository`` whose status names the newest artifact by URL, revision and
digest. Whoever applies it fetches it, checks the digest, and acts when the revision changes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import yaml

from api.rest import Rest

API_VERSION: Final = "source.toolkit.fluxcd.io/v1"
Tree = Mapping[str, Mapping[str, Any]]
"""A commit's files: the object in each, by path."""


@dataclass
class Repository:
    """A repository of one branch; nobody but its tests knows what is in it.

    Attributes:
        rest: Requests as the administrator.
        namespace: Of the ``GitRepository``.
        name: Its name.
        folder: Where tarballs lie.
        url: Where they are served.
        revisions: Of the commits so far, the oldest first.
    """

    rest: Rest
    namespace: str
    name: str
    folder: Path
    url: str
    revisions: list[str] = field(default_factory=list)

    def commit(self, tree: Tree) -> str:
        """Commits a whole tree; returns the revision, which is announced by then."""
        packed = pack(tree)
        # As in Git, the same tree after another commit is another revision.
        parent = self.revisions[-1] if self.revisions else ""
        commit = hashlib.sha1(parent.encode() + packed, usedforsecurity=False).hexdigest()
        revision = f"main@sha1:{commit}"
        path = f"{self.name}/{commit}.tar.gz"
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(packed)
        self._announce(revision, path, packed)
        self.revisions.append(revision)
        return revision

    def delete(self) -> None:
        """Takes the ``GitRepository`` away."""
        self.rest.delete(self._path(self.name))

    def _announce(self, revision: str, path: str, packed: bytes) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if not self.revisions:
            self.rest.create(self._path(), self._manifest())
        generation = self.rest.get(self._path(self.name))["metadata"]["generation"]
        condition = {
            "type": "Ready",
            "status": "True",
            "reason": "Succeeded",
            "message": f"stored artifact for revision '{revision}'",
            "lastTransitionTime": now,
            "observedGeneration": generation,
        }
        artifact = {
            "path": path,
            "url": f"{self.url}/{path}",
            "revision": revision,
            "digest": f"sha256:{hashlib.sha256(packed).hexdigest()}",
            "size": len(packed),
            "lastUpdateTime": now,
        }
        status = {
            "observedGeneration": generation,
            "conditions": [condition],
            "artifact": artifact,
        }
        self.rest.merge(f"{self._path(self.name)}/status", {"status": status})

    def _manifest(self) -> dict[str, Any]:
        return {
            "apiVersion": API_VERSION,
            "kind": "GitRepository",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "interval": "1h",
                "url": "https://git.invalid/training",
                "ref": {"branch": "main"},
            },
        }

    def _path(self, name: str = "") -> str:
        base = f"/apis/{API_VERSION}/namespaces/{self.namespace}/gitrepositories"
        return f"{base}/{name}" if name else base


def pack(tree: Tree) -> bytes:
    """A tree's tarball: the same bytes for the same tree."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, document in sorted(tree.items()):
            content = yaml.safe_dump(dict(document), sort_keys=False).encode()
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    # A time in its header would make each one another.
    return gzip.compress(packed.getvalue(), mtime=0)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serves a folder on this machine while the block lasts; yields its address."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Requests are not the tests' matter."""
