"""The default cascade: what `spec.cascade` means where it names no tiers."""

from __future__ import annotations

from typing import Final

from cascade_operator.api.cascade import CascadeSpec

DEFAULT_CASCADE: Final = CascadeSpec().completed()

DEFAULT_NODES: Final = {node.name: node for node in DEFAULT_CASCADE.nodes}
