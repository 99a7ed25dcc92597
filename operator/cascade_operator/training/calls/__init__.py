"""Stage 40, model calls: one transport behind DSPy's models, with a shared cache before it.

A call runs through :mod:`engine` (DSPy's request to ours), :mod:`call_cache` (each distinct
request is asked once, by whichever Job comes first), :mod:`meter` and :mod:`budget` (what was
spent), :mod:`dialects` (OpenAI's and Ollama's wire forms) and :mod:`http_transport` (time limits,
retries, bounds). A server that fails raises ServiceUnavailable and is never scored.
"""
