"""Certificates of one control plane, made with the ``openssl`` command; they live for two days."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.toolchain import TestBedError

_DAYS: Final = "2"
_SERVER_NAMES: Final = (
    "subjectAltName=IP:127.0.0.1,IP:10.0.0.1,IP:10.244.0.1,DNS:localhost,DNS:kubernetes.default.svc"
)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A folder of certificates signed by one certificate authority.

    Attributes:
        folder: Where they lie.
    """

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> Authority:
        """Makes the authority and the key that signs service accounts' tokens.

        Raises:
            TestBedError: There is no ``openssl``.
        """
        if shutil.which("openssl") is None:
            raise TestBedError("openssl is needed for the test bed's certificates: install it")
        folder.mkdir(parents=True)
        authority = cls(folder)
        _new_key(authority.service_account_key)
        _new_key(folder / "ca.key")
        _openssl("req", "-x509", "-new", "-key", str(folder / "ca.key"), "-out",
                 str(authority.certificate), "-subj", "/CN=test-bed", "-days", _DAYS)  # fmt: skip
        return authority

    @property
    def certificate(self) -> Path:
        """The authority's own certificate."""
        return self.folder / "ca.crt"

    @property
    def service_account_key(self) -> Path:
        """The private key of service accounts' tokens; its public half is read from it."""
        return self.folder / "service-account.key"

    def sign(self, name: str, subject: str) -> KeyPair:
        """Makes a key pair.

        Args:
            name: Of its files.
            subject: Such as ``/O=system:masters/CN=admin``.
        """
        pair = KeyPair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(_SERVER_NAMES, encoding="ascii")
        _new_key(pair.key)
        _openssl("req", "-new", "-key", str(pair.key), "-out", str(request), "-subj", subject)
        _openssl("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey",
                 str(self.folder / "ca.key"), "-CAcreateserial", "-days", _DAYS, "-extfile",
                 str(extensions), "-out", str(pair.certificate))  # fmt: skip
        return pair


def _new_key(path: Path) -> None:
    # Elliptic: an RSA key takes up to half a second to find.
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path))


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TestBedError(f"openssl {arguments[0]} failed:\n{done.stderr.strip()}")
