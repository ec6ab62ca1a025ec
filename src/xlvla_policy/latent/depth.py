"""How deep capsules and boxes reach into each other: batched, exact where they meet,
differentiable.

B poses, P pairs of shapes. A capsule is given by its ends [B, P, 2, 3] m and its radius, a box by
half sizes [P, 3] m and a frame [B, P, 4, 3] m: its middle, and the points a metre from there along
its axes. Depths [B, P] m are negative where shapes are apart.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

GOLDEN = 0.6180339887
SECTIONS = 16
"""Golden sections that narrow a capsule's line to 1/2000."""
PARALLEL = 1e-6
"""Square of the sine of the angle below which two lines count as parallel."""
TINY = 1e-14
"""Keeps quotients and gradients finite where a length is zero."""


def capsules(a: Tensor, b: Tensor, radii: Tensor) -> Tensor:
    """Depth of capsules in capsules whose radii add up to [P] m: how much nearer than that the
    lines between their ends are.
    """
    p = a[..., 0, :]
    u = a[..., 1, :] - a[..., 0, :]
    q = b[..., 0, :]
    v = b[..., 1, :] - b[..., 0, :]
    uu = _dot(u, u)
    vv = _dot(v, v)
    uv = _dot(u, v)
    ur = _dot(u, p - q)
    vr = _dot(v, p - q)
    # The nearest points are p + s u and q + t v. Where the lines are parallel any s will do.
    spanned = uu * vv - uv * uv
    crossing = spanned > PARALLEL * uu * vv
    s = (uv * vr - ur * vv) / spanned.clamp(min=TINY)
    s = torch.where(crossing, s, 0.0).clamp(0, 1)
    t = ((uv * s + vr) / vv.clamp(min=TINY)).clamp(0, 1)
    s = ((uv * t - ur) / uu.clamp(min=TINY)).clamp(0, 1)
    return radii - _norm(p + s[..., None] * u - q - t[..., None] * v)


def capsule_box(capsule: Tensor, box: Tensor, radius: Tensor, half: Tensor) -> Tensor:
    """Depth of capsules of radius [P] m in boxes: their line's distance from the box, or its own
    depth where it is inside.
    """
    axes = _axes(box)
    middle = box[..., 0, :]
    start = _times(axes, capsule[..., 0, :] - middle)
    end = _times(axes, capsule[..., 1, :] - middle)

    def distance(part: Tensor) -> Tensor:
        point = start + part[..., None] * (end - start)
        return _norm((point.abs() - half).clamp(min=0))

    outside = distance(_lowest(distance, start[..., 0]))
    inside = _line_in_box((start + end) / 2, (end - start) / 2, half)
    return radius + torch.where(inside > 0, inside, -outside)


def _line_in_box(middle: Tensor, reach: Tensor, half: Tensor) -> Tensor:
    """The least overlap [B, P] m of lines, middle +- reach [B, P, 3] m along the box's axes, and
    boxes.
    """
    faces = half + reach.abs() - middle.abs()
    box_axes = torch.eye(3, dtype=reach.dtype).expand(*reach.shape, 3)
    lines = reach[..., None, :].expand(*reach.shape, 3)
    axes = torch.linalg.cross(box_axes, lines)
    size = axes.norm(dim=-1)
    axes = axes / size[..., None].clamp(min=1e-9)
    edges = _times(axes.abs(), half) - _times(axes, middle).abs()
    # A line parallel to an edge spans no axis with it.
    parallel = size < 1e-3 * reach.norm(dim=-1, keepdim=True) + 1e-9
    edges = edges.masked_fill(parallel, torch.inf)
    return torch.cat([faces, edges], dim=-1).amin(dim=-1)


def boxes(a: Tensor, b: Tensor, half_a: Tensor, half_b: Tensor) -> Tensor:
    """Depth of boxes in boxes: the least overlap along the fifteen axes that can separate them."""
    axes_a = _axes(a)
    axes_b = _axes(b)
    crossed = torch.linalg.cross(axes_a[..., :, None, :], axes_b[..., None, :, :])
    across = crossed.flatten(-3, -2)
    size = across.norm(dim=-1)
    across = across / size[..., None].clamp(min=1e-6)
    axes = torch.cat([axes_a, axes_b, across], dim=-2)
    apart = _times(axes, b[..., 0, :] - a[..., 0, :]).abs()
    reach_a = (axes @ axes_a.mT).abs() @ half_a[..., None]
    reach_b = (axes @ axes_b.mT).abs() @ half_b[..., None]
    reach = (reach_a + reach_b)[..., 0]
    faces, edges = (reach - apart).split([6, 9], dim=-1)
    # Two parallel edges span no axis.
    edges = edges.masked_fill(size < 1e-3, torch.inf)
    return torch.cat([faces, edges], dim=-1).amin(dim=-1)


def _axes(frame: Tensor) -> Tensor:
    """A box's axes [B, P, 3, 3], one per row."""
    return frame[..., 1:, :] - frame[..., :1, :]


@torch.no_grad()
def _lowest(function: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    """Where in [0, 1] convex functions are lowest, by golden section."""
    low = torch.zeros_like(like)
    high = torch.ones_like(like)
    for _ in range(SECTIONS):
        left = high - GOLDEN * (high - low)
        right = low + GOLDEN * (high - low)
        down = function(left) > function(right)
        low = torch.where(down, left, low)
        high = torch.where(down, high, right)
    return (low + high) / 2


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrices [..., N, 3] times vectors [..., 3]."""
    return (matrix @ vector[..., None])[..., 0]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)


def _norm(a: Tensor) -> Tensor:
    return torch.sqrt(_dot(a, a) + TINY)
