"""Topics and services of the ROS graph: their definitions, and who uses them in shipped rigs."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeAlias

from tables import code, table
from xlvla import catalog, rig_file
from xlvla.graph import nodes
from xlvla.ros import topics, wiring

PAGE = "reference/graph.md"

INTRODUCTION = """# Topics and services

`{side}` is left or right, `{part}` arm or hand, `{camera}` a camera of the rig, `{source}` policy,
teleop or replay. `xlvla show RIG` prints the graph of one rig, and a test compares that with the
running one. Publishers and subscribers are those of all shipped rigs; `operator` is `xlvla run` and
the commands beside a running rig.

Every command carries joint names and a stamp. A receiver maps by name and refuses a name that it
does not know. A message that a node cannot use is counted, reported from time to time, and
ignored; no message ends a node.
"""

NODES_HEAD = """## Nodes

Nodes of each shipped rig. Every node is required: if one ends, the rig stops.
"""

PLACEHOLDERS = {"side": "{side}", "part": "{part}", "camera": "{camera}", "source": "{source}"}
"""What stands for a parameter of a topic's name."""

ROLES = ("publishes", "subscribes", "provides")
"""What a node may do with a topic or service: fields of `Wiring`."""

MANY = 12
"""A topic of more nodes than these is one of every node."""

Users: TypeAlias = "dict[tuple[str, str], set[str]]"
"""Nodes by what they do and the name of a topic or service."""


def pages() -> dict[str, str]:
    """The page by path."""
    meanings = _docstrings()
    users = _users()
    parts = [
        INTRODUCTION,
        _topics(users),
        _services(users, meanings),
        _one_by_one(users, meanings),
        _nodes(),
    ]
    return {PAGE: "\n".join(parts)}


def _topics(users: Users) -> str:
    rows = []
    for topic in itertools.chain.from_iterable(_entries(topics.Topic).values()):
        link = f"[{code(topic.name)}](#{_anchor(topic.name)})"
        reliability, depth = _qos(topic)
        publishers = _names(users, topic, "publishes")
        rows.append((link, _type_name(topic), reliability, depth, publishers))
    return "## Topics\n\n" + table(("topic", "type", "QoS", "depth", "publishers"), rows)


def _services(users: Users, meanings: dict[str, str]) -> str:
    rows = []
    for attribute, services in _entries(topics.Service).items():
        for service in services:
            provider = _names(users, service, "provides")
            meaning = meanings.get(attribute, "")
            rows.append((code(service.name), _type_name(service), provider, meaning))
    return "## Services\n\n" + table(("service", "type", "provider", "meaning"), rows)


def _one_by_one(users: Users, meanings: dict[str, str]) -> str:
    parts = ["## Topics one by one"]
    for attribute, entries in _entries(topics.Topic).items():
        for topic in entries:
            publishers = _names(users, topic, "publishes") or "no node of a shipped rig"
            subscribers = _names(users, topic, "subscribes") or "no node of a shipped rig"
            parts.append(f"### {code(topic.name)} {{ #{_anchor(topic.name)} }}")
            parts.append(meanings.get(attribute, ""))
            parts.append(f"Publishers: {publishers}. Subscribers: {subscribers}.")
    return "\n\n".join([*parts, ""])


def _nodes() -> str:
    rows = []
    for name in catalog.rigs():
        names = [code(spec.name) for spec in nodes(rig_file.load(name))]
        rows.append((code(name), ", ".join(names)))
    return NODES_HEAD + "\n" + table(("rig", "nodes"), rows)


def _entries(kind: type) -> dict[str, list[Any]]:
    """Topics, or services, by their name in the module; placeholders stand for parameters."""
    found = {}
    for name, value in vars(topics).items():
        entries = _called(value) if _is_own_function(value) else [value]
        if entries and isinstance(entries[0], kind):
            found[name] = entries
    return found


def _is_own_function(value: object) -> bool:
    return inspect.isfunction(value) and value.__module__ == topics.__name__


def _called(function: Callable[..., Any]) -> list[Any]:
    """What a function of side, part, camera or source makes of placeholders; nothing for any other.

    With an optional parameter it is called twice: without that and with it.
    """
    parameters = inspect.signature(function).parameters
    if not set(parameters) <= set(PLACEHOLDERS):
        return []
    needed = [name for name, entry in parameters.items() if entry.default is entry.empty]
    calls = [needed] if len(needed) == len(parameters) else [needed, list(parameters)]
    return [function(*(PLACEHOLDERS[name] for name in names)) for names in calls]


def _docstrings() -> dict[str, str]:
    """What the module says of each topic: a function's docstring, or the string below a name."""
    found = {}
    name = None
    for statement in ast.parse(inspect.getsource(topics)).body:
        if isinstance(statement, ast.FunctionDef):
            found[statement.name] = ast.get_docstring(statement) or ""
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and name:
            found[name] = inspect.cleandoc(str(statement.value.value))
        name = None
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
    return found


def _users() -> Users:
    """The nodes of all shipped rigs, by the actual names of topics and services."""
    users = defaultdict(set)
    for name in catalog.rigs():
        rig = rig_file.load(name)
        for node, wires in wiring.wiring(rig).items():
            for role in ROLES:
                for entry in getattr(wires, role):
                    users[role, entry.name].add(node)
        # What the operator watches is everything, which tells a reader nothing.
        for entry in wiring.operator(rig).publishes:
            users["publishes", entry.name].add("operator")
    return users


def _names(users: Users, entry: Any, role: str) -> str:
    """The nodes that publish, subscribe or provide an entry, whose name may have placeholders."""
    any_name = re.sub(r"\\\{\w+\\\}", "[a-z_]+", re.escape(entry.name))
    found = set()
    for (known_role, name), its_nodes in users.items():
        if known_role == role and re.fullmatch(any_name, name):
            found |= its_nodes
    if len(found) > MANY:
        return "every node"
    drivers = {node for node in found if re.fullmatch(r"(left|right)_(arm|hand)|camera_\w+", node)}
    others = sorted(found - drivers)
    return ", ".join([*others, "drivers"] if drivers else others)


def _type_name(entry: Any) -> str:
    """`sensor_msgs/Image`."""
    return wiring.type_name(entry).replace("/msg/", "/").replace("/srv/", "/")


def _qos(topic: Any) -> tuple[str, str]:
    """Reliability and durability, and the depth of the history."""
    qos = topic.qos
    words = "reliable" if "RELIABLE" in qos.reliability.name else "best effort"
    if "TRANSIENT" in qos.durability.name:
        words += ", latched"
    return words, str(qos.depth)


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z_]+", "-", name).strip("-")
