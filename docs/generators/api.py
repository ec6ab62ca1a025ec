"""Python reference: one page for each subject, from the docstrings of its modules."""

from __future__ import annotations

FOLDER = "reference/api"

SUBJECTS = {
    "codec": ("The latent", ("xlvla.codec", "xlvla.human_codec", "xlvla.retarget", "xlvla.smooth")),
    "policy": ("Policies", ("xlvla.policy", "xlvla_policy.policies.xlvla")),
    "bodies": ("Hands, arms and kinematics", ("xlvla.hand", "xlvla.arm", "xlvla.catalog", "xlvla.urdf", "xlvla.robot", "xlvla.kinematics")),
    "rigs": ("Rigs and the graph", ("xlvla.rig", "xlvla.rig_parts", "xlvla.device", "xlvla.motion", "xlvla.graph")),
    "simulation": ("Simulation and tasks", ("xlvla_sim.gym_env", "xlvla_sim.task", "xlvla_sim.world", "xlvla_sim.expert")),
    "devices": ("Devices", ("xlvla_drivers.device", "xlvla_drivers.emulators.emulator", "xlvla_drivers.cameras.camera")),
    "teleoperation": ("Teleoperation", ("xlvla_drivers.teleop.operator",)),
    "data": ("Episodes and data sets", ("xlvla_data.episode", "xlvla_data.store")),
    "basics": ("Types and errors", ("xlvla.types", "xlvla.errors")),
}
"""By page: its title and the modules on it."""


def nav() -> list[dict[str, str]]:
    """Entries of the navigation."""
    return [{title: f"{FOLDER}/{name}.md"} for name, (title, _) in SUBJECTS.items()]


def pages() -> dict[str, str]:
    """The pages by path."""
    return {f"{FOLDER}/{name}.md": _page(title, modules) for name, (title, modules) in SUBJECTS.items()}


def _page(title: str, modules: tuple[str, ...]) -> str:
    parts = [f"::: {module}\n    options:\n      heading_level: 2\n      show_root_full_path: true\n" for module in modules]
    return f"# {title}\n\n" + "\n".join(parts)
