"""Python reference: one page for each subject, from the docstrings of its modules."""

from __future__ import annotations

FOLDER = "reference/api"

TITLES = {
    "codec": "The latent",
    "policy": "Policies",
    "bodies": "Hands, arms and kinematics",
    "rigs": "Rigs and the graph",
    "simulation": "Simulation and tasks",
    "devices": "Devices",
    "teleoperation": "Teleoperation",
    "data": "Episodes and data sets",
    "basics": "Types and errors",
}
"""Titles of the pages, in the order of the navigation."""

MODULES = {
    "codec": ["xlvla.codec", "xlvla.human_codec", "xlvla.retarget", "xlvla.smooth"],
    "policy": ["xlvla.policy", "xlvla_policy.policies.xlvla"],
    "bodies": [
        "xlvla.hand",
        "xlvla.arm",
        "xlvla.catalog",
        "xlvla.urdf",
        "xlvla.robot",
        "xlvla.kinematics",
    ],
    "rigs": [
        "xlvla.rig",
        "xlvla.rig_file",
        "xlvla.rig_parts",
        "xlvla.device",
        "xlvla.motion",
        "xlvla.graph",
    ],
    "simulation": ["xlvla_sim.gym_env", "xlvla_sim.task", "xlvla_sim.world", "xlvla_sim.expert"],
    "devices": [
        "xlvla_drivers.device",
        "xlvla_drivers.emulators.emulator",
        "xlvla_drivers.cameras.camera",
    ],
    "teleoperation": ["xlvla_drivers.teleop.operator"],
    "data": ["xlvla_data.episode", "xlvla_data.store"],
    "basics": ["xlvla.types", "xlvla.errors"],
}
"""The modules of each page."""


def nav() -> list[dict[str, str]]:
    """Entries of the navigation."""
    return [{title: f"{FOLDER}/{name}.md"} for name, title in TITLES.items()]


def pages() -> dict[str, str]:
    """The pages by path."""
    return {f"{FOLDER}/{name}.md": _page(title, MODULES[name]) for name, title in TITLES.items()}


def _page(title: str, modules: list[str]) -> str:
    parts = [f"# {title}"]
    for module in modules:
        options = "    options:\n      heading_level: 2\n      show_root_full_path: true"
        parts.append(f"::: {module}\n{options}")
    return "\n\n".join(parts)
