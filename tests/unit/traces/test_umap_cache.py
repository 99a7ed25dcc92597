"""What an image has compiled is where numba looks, in UMAP's process."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_operator.api.errors import CascadeError
from cascade_operator.traces import umap_client
from cascade_operator.traces.umap_client import COMPILED, fit_umap

ROWS = np.zeros((3, 4), np.float32)


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """A folder of an image, and the place that numba is told of; UMAP's process cannot start."""
    folder = tmp_path / "image"
    (folder / "umap_1").mkdir(parents=True)
    (folder / "umap_1" / "distances.nbi").write_bytes(b"code")
    monkeypatch.setenv(COMPILED, str(folder))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "scratch" / "numba"))
    monkeypatch.setattr(umap_client.sys, "executable", "/bin/false")
    return tmp_path / "scratch" / "numba"


def _fit():
    with pytest.raises(CascadeError, match="UMAP failed"):
        fit_umap(ROWS, dims=2, seed=0, neighbours=2)


def test_the_images_code_is_copied_once(compiled):
    _fit()
    copied = compiled / "umap_1" / "distances.nbi"
    assert copied.read_bytes() == b"code"
    copied.write_bytes(b"newer")
    _fit()
    assert copied.read_bytes() == b"newer", "what numba has added since stays"


def test_without_an_image_nothing_is_copied(compiled, monkeypatch):
    monkeypatch.delenv(COMPILED)
    _fit()
    assert not compiled.exists()
