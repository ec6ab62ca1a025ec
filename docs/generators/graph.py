"""Topics and services of the ROS graph, from the definitions that nodes use and the wiring of the shipped rigs."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeAlias

from tables import code, table
from xlvla import catalog, rig
from xlvla.graph import nodes
from xlvla.ros import topics, wiring

PAGE = "reference/graph.md"

PLACEHOLDERS = {"side": "{side}", "part": "{part}", "camera": "{camera}"}
"""What stands for a parameter of a topic's name."""

ROLES = {"publishes": "says", "subscribes": "hears", "provides": "serves"}
"""Fields of `Wiring` by what a node does."""

Users: TypeAlias = "dict[tuple[str, str], set[str]]"
"""Nodes by what they do and the name of a topic or service."""


INTRODUCTION = """# Topics and services

`{side}` is left or right, `{part}` arm or hand, `{camera}` a camera of the rig. `xlvla show RIG` prints the graph of one rig.
Publishers and subscribers are those of all shipped rigs; `operator` is `xlvla run` and the commands beside a running rig.

Every command carries joint names and a stamp. A receiver maps by name and refuses a name that it does not know.
A message that a node cannot use is counted, reported from time to time, and ignored; no message ends a node.
"""


def pages() -> dict[str, str]:
    """The page by path."""
    meanings = _docstrings()
    users = _users()
    parts = [INTRODUCTION, _topics(users), _services(users, meanings), _one_by_one(users, meanings), _nodes()]
    return {PAGE: "\n".join(parts)}


def _topics(users: Users) -> str:
    rows = []
    for topic in _entries(topics.Topic).values():
        link = f"[{code(topic.name)}](#{_anchor(topic.name)})"
        reliability, depth = _qos(topic)
        rows.append((link, _type_name(topic), reliability, depth, _names(users, topic, "publishes")))
    return "## Topics\n\n" + table(("topic", "type", "QoS", "depth", "publishers"), rows)


def _services(users: Users, meanings: dict[str, str]) -> str:
    rows = []
    for attribute, service in _entries(topics.Service).items():
        row = (code(service.name), _type_name(service), _names(users, service, "provides"), meanings.get(attribute, ""))
        rows.append(row)
    return "## Services\n\n" + table(("service", "type", "provider", "meaning"), rows)


def _one_by_one(users: Users, meanings: dict[str, str]) -> str:
    lines = ["## Topics one by one", ""]
    for attribute, topic in _entries(topics.Topic).items():
        publishers = _names(users, topic, "publishes") or "no node of a shipped rig"
        subscribers = _names(users, topic, "subscribes") or "no node of a shipped rig"
        lines += [f"### {code(topic.name)} {{ #{_anchor(topic.name)} }}", "", meanings.get(attribute, ""), ""]
        lines += [f"Publishers: {publishers}. Subscribers: {subscribers}.", ""]
    return "\n".join(lines)


def _nodes() -> str:
    rows = []
    for name in catalog.rigs():
        names = [code(spec.name) for spec in nodes(rig.load(name))]
        rows.append((code(name), ", ".join(names)))
    introduction = "## Nodes\n\nNodes of each shipped rig. Every node is required: if one ends, the rig stops.\n\n"
    return introduction + table(("rig", "nodes"), rows)


def _entries(kind: type) -> dict[str, Any]:
    """Every topic, or service, by the name it has in the module; a placeholder stands for every parameter."""
    found = {}
    for name, value in vars(topics).items():
        if isinstance(value, kind):
            found[name] = value
        elif inspect.isfunction(value) and value.__module__ == topics.__name__ and not name.startswith("_"):
            made = _called(value)
            if isinstance(made, kind):
                found[name] = made
    return found


def _called(function: Callable[..., Any]) -> Any:
    parameters = inspect.signature(function).parameters
    if not set(parameters) <= set(PLACEHOLDERS):
        return None
    return function(*(PLACEHOLDERS[name] for name in parameters))


def _docstrings() -> dict[str, str]:
    """What the module says of each topic: the string below an assignment, or a function's docstring."""
    found = {}
    body = ast.parse(inspect.getsource(topics)).body
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.FunctionDef):
            found[statement.name] = inspect.cleandoc(ast.get_docstring(statement) or "")
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            text = getattr(getattr(following, "value", None), "value", None)
            if isinstance(following, ast.Expr) and isinstance(text, str):
                found[statement.targets[0].id] = inspect.cleandoc(text)
    return found


def _users() -> Users:
    """Nodes of all shipped rigs by what they do and the actual name of the topic or service."""
    users = defaultdict(set)
    for name in catalog.rigs():
        loaded = rig.load(name)
        parts = dict(wiring.wiring(loaded))
        parts["operator"] = wiring.operator(loaded)
        for node, wire in parts.items():
            for role, field in ROLES.items():
                if node == "operator" and role == "subscribes":
                    continue  # it may look at everything
                for entry in getattr(wire, field):
                    users[role, entry.name].add(node)
    return users


def _names(users: Users, entry: Any, role: str) -> str:
    """The nodes that publish, subscribe or provide an entry, whose name may have placeholders."""
    pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[a-z_]+", re.escape(entry.name)))
    found = {node for (known, name), nodes in users.items() if known == role and pattern.fullmatch(name) for node in nodes}
    drivers = {node for node in found if re.fullmatch(r"(left|right)_(arm|hand)|camera_\w+", node)}
    labels = sorted(found - drivers)
    if len(found) > 12:
        return "every node"
    return ", ".join([*labels, *(["drivers"] if drivers else [])])


def _type_name(entry: Any) -> str:
    """`sensor_msgs/Image`."""
    return wiring.type_name(entry).replace("/msg/", "/").replace("/srv/", "/")


def _qos(topic: Any) -> tuple[str, str]:
    """Reliability and durability, and the depth of the history."""
    qos = topic.qos
    reliability = "reliable" if "RELIABLE" in qos.reliability.name else "best effort"
    latched = ", latched" if "TRANSIENT" in qos.durability.name else ""
    return reliability + latched, str(qos.depth)


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z_]+", "-", name).strip("-")
