"""Argo CD's Lua: version 5.1 and, of its libraries, only what Argo CD opens for a health check."""

from __future__ import annotations

from typing import Any

from lupa import lua51

_BASE = (
    *("_G", "_VERSION", "assert", "collectgarbage", "error", "getfenv", "getmetatable", "ipairs"),
    *("next", "pairs", "pcall", "print", "rawequal", "rawget", "rawset", "select", "setfenv"),
    *("setmetatable", "tonumber", "tostring", "type", "unpack", "xpcall"),
)
_OPENED = frozenset({*_BASE, "table"})
HEALTH = frozenset({"Unknown", "Progressing", "Suspended", "Healthy", "Degraded", "Missing"})
"""What Argo CD accepts as a status; anything else becomes Unknown."""


def argo_health(script: str, obj: dict[str, Any]) -> tuple[str, str]:
    """Runs a health check over an object.

    Returns:
        Its status and message.
    """
    lua = lua51.LuaRuntime(register_eval=False, unpack_returned_tuples=True)
    # A string's methods live in its metatable, and come with the library that is not opened.
    lua.execute("getmetatable('').__index = nil")
    names = list(lua.globals())
    for name in names:
        if name not in _OPENED:
            lua.globals()[name] = None
    lua.globals()["obj"] = _table(lua, obj)
    answer = lua.execute(script)
    status, message = answer["status"], answer["message"]
    assert status in HEALTH, status
    assert isinstance(message, str)
    return status, message


def _table(lua: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: _table(lua, one) for key, one in value.items()})
    if isinstance(value, list):
        return lua.table_from([_table(lua, one) for one in value])
    # A number of Lua 5.1 is a double, in Argo CD, too.
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
