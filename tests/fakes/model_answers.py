"""What the fake model server says: pure functions of the request and of an answer key."""

import hashlib
import json
import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

SKILL_WORDS = ("exactly", "verbatim", "schema", "carefully", "required", "example", "check")
"""Words that make the fake model better when they stand in the instructions."""

DOUBT = "unsure"
"""Stands in every wrong text, so that a later node reading it does worse too."""

_SECTION = re.compile(r"^\[\[ ## (\w+) ## \]\]\s*$", re.MULTILINE)
_CHAT_FIELDS = re.compile(r"`\[\[ ## (\w+) ## \]\]`")
_JSON_FIELDS = re.compile(r"`(\w+)`")


@dataclass(frozen=True)
class Skill:
    """The chance that a field comes out right."""

    base: float = 0.35
    word: float = 0.10
    demonstration: float = 0.08
    most_demonstrations: int = 3
    doubt: float = 0.35
    noise: float = 0.10
    most: float = 0.97

    def chance(self, messages, inputs_doubtful):
        system = " ".join(text for role, text in messages if role == "system").lower()
        task = system.rsplit("your objective is:", 1)[-1]
        words = sum(word in task for word in SKILL_WORDS)
        shown = min(self.most_demonstrations, sum(role == "assistant" for role, _ in messages))
        chance = self.base + words * self.word + shown * self.demonstration
        chance += (_roll("noise", task, shown) - 0.5) * self.noise
        return min(self.most, chance) * (self.doubt if inputs_doubtful else 1.0)


class AnswerKey:
    """The right values of all fields, record by record."""

    def __init__(self, records):
        self.records = [dict(record) for record in records]
        self._holders = {}
        for number, record in enumerate(self.records):
            for name, value in record.items():
                self._holders.setdefault((name, _canonical(value)), []).append(number)

    def find(self, sections):
        """Returns the number of the record these input fields belong to, or None."""
        text = json.dumps(sections, ensure_ascii=False)
        tag = re.search(rf"{DOUBT}-r(\d+)-", text)
        if tag and int(tag.group(1)) < len(self.records):
            return int(tag.group(1))
        votes = {}
        for name, value in sections.items():
            for number in self._holders.get((name, _canonical(value)), ()):
                votes[number] = votes.get(number, 0) + 1
        return max(votes, key=lambda n: (votes[n], -n)) if votes else None


def answer_chat(messages, schema, *, key, skill, seed=None):
    """Returns the text of an answer: JSON that fits the schema, or what the prompt asks for."""
    last = messages[-1][1]
    sections = _sections(last)
    number = key.find(sections)
    chance = skill.chance(messages, DOUBT in json.dumps(sections))
    whole = _digest(messages, seed)

    def value_of(name, part):
        right = key.records[number].get(name) if number is not None else None
        if "instruction" in name:
            return _instruction(whole)
        if _roll(number, name, seed) < chance:
            return right if right is not None else _fill(part, schema, f"{name}-{number}", name)
        tag = f"{DOUBT}-r{'x' if number is None else number}-{whole[:6]}"
        return _fill(part, schema, tag, name)

    if schema is not None:
        schema_fields = _resolve(schema, schema).get("properties", {})
        return json.dumps({name: value_of(name, part) for name, part in schema_fields.items()})
    chat_fields = _CHAT_FIELDS.findall(last)
    if chat_fields:
        parts = [
            f"[[ ## {n} ## ]]\n{_text(value_of(n, {}))}" for n in chat_fields if n != "completed"
        ]
        return "\n\n".join([*parts, "[[ ## completed ## ]]"])
    asked = last.rsplit("order of fields:", 1)
    if len(asked) == 2:
        return json.dumps({name: value_of(name, {}) for name in _JSON_FIELDS.findall(asked[1])})
    return f"{DOUBT}-rx-{whole[:6]}"


def embed_text(text, size=768):
    """Returns a unit vector made of hashed character n-grams: similar texts lie close."""
    vector = [0.0] * size
    padded = f" {text.lower()} ".encode()
    for length in (3, 4, 5):
        for start in range(max(1, len(padded) - length + 1)):
            code = zlib.crc32(padded[start : start + length], length)
            vector[code % size] += 1.0 if code & 0x10000000 else -1.0
    norm = math.sqrt(sum(x * x for x in vector)) or 1.0
    return [x / norm for x in vector]


def load_answers(path):
    """Reads an answer key: a JSON list of {field: value}, or traces as JSON lines."""
    path = Path(path)
    if path.suffix != ".jsonl":
        return json.loads(path.read_text())
    return [answers_of_trace(json.loads(line)) for line in path.read_text().splitlines() if line]


def answers_of_trace(row):
    """Returns the right values that one trace holds, the validated ones last."""
    fields = {}
    for column in ("agent_chain_inputs", "agent_chain_outputs"):
        chain = row.get(column) or {}
        for values in chain.values() if isinstance(chain, dict) else (v for _, v in chain):
            fields |= json.loads(values) if isinstance(values, str) else values
    validated = row.get("validated_json") or {}
    fields |= json.loads(validated) if isinstance(validated, str) else validated
    return fields


def _sections(text):
    pieces = _SECTION.split(text.split("Respond with ", 1)[0])
    return {
        name: _parsed(value.strip()) for name, value in zip(pieces[1::2], pieces[2::2], strict=True)
    }


def _parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def _fill(part, root, salt, name):
    part = _resolve(part, root)
    if "const" in part:
        return part["const"]
    if part.get("enum"):
        return part["enum"][int(_digest(salt)[:4], 16) % len(part["enum"])]
    for word in ("anyOf", "oneOf"):
        if part.get(word):
            return _fill(part[word][0], root, salt, name)
    match part.get("type"):
        case "integer" | "number":
            return int(_digest(salt, name)[:4], 16) % 100
        case "boolean":
            return salt.startswith(DOUBT)
        case "null":
            return None
        case "array":
            return [_fill(part.get("items", {}), root, salt, name)]
        case "object" if "properties" in part:
            return {n: _fill(p, root, salt, n) for n, p in part["properties"].items()}
        case "object":
            inner = part.get("additionalProperties")
            return {"key": _fill(inner if isinstance(inner, dict) else {}, root, salt, name)}
        case _:
            return f"{salt} {name}"[: part.get("maxLength", 200)]


def _resolve(part, root):
    while isinstance(part, dict) and "$ref" in part:
        found = root
        for step in part["$ref"][2:].split("/"):
            found = found[step]
        part = found
    return part if isinstance(part, dict) else {}


def _instruction(digest):
    words = [w for i, w in enumerate(SKILL_WORDS) if int(digest[2 * i : 2 * i + 2], 16) % 3 == 0]
    return f"Write each field {' and '.join(words) or 'as you like'} ({digest[:6]})."


def _text(value):
    return value if isinstance(value, str) else json.dumps(value)


def _canonical(value):
    return json.dumps(_parsed(value) if isinstance(value, str) else value, sort_keys=True)


def _digest(*parts):
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _roll(*parts):
    return int(_digest(*parts)[:8], 16) / 0x1_0000_0000
