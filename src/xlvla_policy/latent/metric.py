"""The metrics of the codec's table: how each is recorded, printed and drawn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One column; lower is better in every one.

    Args:
        key: its name in records, a field of `metrics.Metrics`.
        label: a word or two before the unit, for tables.
        released: the figure of the authors' released checkpoint, measured with these definitions on
            right hands; None where there is none.
        spelled: its name over a heat map of the pairs of hands; '' where none is drawn.
        paired: printed for every pair of hands.
        ablated: printed for every row of the ablation.
        limited: printed with what optimising each pose on its own reaches.
    """

    key: str
    label: str
    unit: str
    released: float | None = None
    spelled: str = ""
    paired: bool = False
    ablated: bool = False
    limited: bool = False

    @property
    def line(self) -> str:
        """`pinch hit %`, at the beginning of a row."""
        return f"{self.label} {self.unit}"

    @property
    def heading(self) -> str:
        """The same above a column, in two lines."""
        return self.line.replace(" ", "\n", 1)

    @property
    def caption(self) -> str:
        """`pinch direction [deg]`"""
        return f"{self.spelled} [{self.unit}]"


METRICS = (
    Metric("recon_joint_rad", "recon", "rad", 0.060, ablated=True),
    Metric("recon_tip_mm", "recon tips", "mm", 6.5, ablated=True),
    Metric("pinch_dir_deg", "pinch", "deg", 24.8, "pinch direction", True, True, True),
    Metric("pinch_dist_mm", "pinch", "mm", 6.1, "pinch distance", True, True, True),
    Metric("random_dir_deg", "random", "deg", 12.0, "random direction", True, True, True),
    Metric("random_dist_mm", "random", "mm", 7.4, "random distance", True, True, True),
    Metric("touch_apart_pct", "touch apart", "%", paired=True, limited=True),
    Metric("touch_inside_pct", "touch inside", "%", paired=True, limited=True),
    Metric("touch_facing_deg", "touch facing", "deg", paired=True, limited=True),
    Metric("round_trip_dir_deg", "round trip", "deg", paired=True, limited=True),
    Metric("round_trip_mm", "round trip", "mm", paired=True, limited=True),
    Metric("left_open_pct", "left open", "%", paired=True, limited=True),
    Metric("consistency_x", "consist.", "x", paired=True, limited=True),
    Metric("pinch_collision_pct", "pinch hit", "%", paired=True),
    Metric("random_collision_pct", "random hit", "%", paired=True),
    Metric("new_collision_pct", "new hit", "%", spelled="new self-penetration", paired=True),
    Metric("continuity_joint_rad", "contin.", "rad"),
    Metric("continuity_tip_mm", "contin. tips", "mm", 6.95, ablated=True),
    Metric("interp_accel_mm", "interp accel", "mm"),
    Metric("interp_jerk_mm", "interp jerk", "mm", 0.179, paired=True, ablated=True),
    Metric("own_jerk_x", "own jerk", "x"),
    Metric("cross_jerk_x", "cross jerk", "x", spelled="path jerk / source's", paired=True),
    Metric("moved_jerk_x", "moved jerk", "x", paired=True),
)

RELEASED = {metric.key: metric.released for metric in METRICS if metric.released is not None}
PAIRED = tuple(metric for metric in METRICS if metric.paired)
ABLATED = tuple(metric for metric in METRICS if metric.ablated)
LIMITED = tuple(metric for metric in METRICS if metric.limited)
DRAWN = tuple(metric for metric in METRICS if metric.spelled)
