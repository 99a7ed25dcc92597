"""An engine behind DSPy's models that answers from a script, in this process."""

import json
import threading

import dspy
from dspy.lm15 import Message, Response, TextPart, Usage


class ScriptedEngine:
    """Answers with what ``script(request)`` returns: text, a JSON value, or an exception."""

    def __init__(self, script, *, structured=True):
        self._script = script
        self.requests = []
        self._lock = threading.Lock()
        self.supports_response_schema = structured
        self.supported_params = frozenset({"response_format"})

    def complete(self, request):
        with self._lock:
            self.requests.append(request)
        said = self._script(request)
        if isinstance(said, BaseException):
            raise said
        text = said if isinstance(said, str) else json.dumps(said)
        return Response(
            id=None,
            model=request.model,
            message=Message.assistant([TextPart(text)]),
            finish_reason="stop",
            usage=Usage(input_tokens=1, output_tokens=1),
        )

    def lm(self):
        return dspy.LM("scripted/cascade", engine=self, cache=False, num_retries=0, temperature=0.0)


def system_of(request):
    return request.system


def last_of(request):
    return request.messages[-1].parts[0].text


def schema_of(request):
    return (request.config.response_format or {}).get("schema")
