"""The hash that says whether a changed spec asks for another run.

It covers the values that differ from the defaults in the sections that decide what is trained,
and nothing else: an upgrade that adds a field with a default retrains nobody.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from cascade_operator.api.base import ApiModel
from cascade_operator.api.canonical import canonical_json
from cascade_operator.api.session import TrainingSessionSpec

VERSION: Final = "v1"
SECTIONS: Final = (
    "cascade",
    "traces",
    "models",
    "groups",
    "optimizer",
    "objective",
    "convergence",
    "warm_start",
)


def spec_hash(spec: TrainingSessionSpec) -> str:
    """Returns ``v1-`` and 16 hexadecimal digits, of the spec as it was written."""
    chosen = spec.model_dump(
        mode="json",
        by_alias=True,
        include=set(SECTIONS),
        exclude_defaults=True,
        exclude_none=True,
    )
    # What an override leaves out comes from elsewhere, so a value equal to the model's default
    # still says something: these hold what was written.
    if spec.models.prompt is not None:
        chosen["models"]["prompt"] = _written(spec.models.prompt)
    for at, tier in enumerate(spec.cascade.tiers):
        for place, node in enumerate(tier.nodes):
            held = chosen["cascade"]["tiers"][at]["nodes"][place]
            if node.model is not None:
                held["model"] = _written(node.model)
            if node.is_default_agent and "adapter" in node.model_fields_set:
                held["adapter"] = node.adapter.value
    return f"{VERSION}-{sha256(canonical_json(chosen).encode()).hexdigest()[:16]}"


def _written(model: ApiModel) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
