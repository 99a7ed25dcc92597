"""DSPy's process-wide settings for a worker: no cache, no history, no network at import."""

from __future__ import annotations

import logging
import os

import dspy


def configure_dspy() -> None:
    """Switches off what DSPy keeps of its own accord. Call it once, from the main thread.

    * Its caches: ours is shared between Jobs and keyed by the whole request; DSPy's fills up to
      30 GB of disk and holds pickles.
    * Its histories and the global trace: they grow to 10,000 prompts, about 120 MB.
    * LiteLLM's download of a price list, should a user's own module import it.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    dspy.configure(
        disable_history=True,
        max_history_size=0,
        trace=None,
        track_usage=False,
        # Inputs are JSON values, records included; DSPy would warn of each that is no model.
        warn_on_type_mismatch=False,
    )
    # A cut-off answer is counted by our meter; DSPy would log a line for each.
    logging.getLogger("dspy.clients.lm").setLevel(logging.ERROR)
