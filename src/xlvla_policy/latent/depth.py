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
TINY = 1e-14


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
    spanned = uu * vv - uv * uv
    crossing = spanned > 1e-6 * uu * vv
    s = torch.where(crossing, (uv * vr - ur * vv) / spanned.clamp(min=TINY), 0.0).clamp(0, 1)
    t = ((uv * s + vr) / vv.clamp(min=TINY)).clamp(0, 1)
    s = ((uv * t - ur) / uu.clamp(min=TINY)).clamp(0, 1)
    return radii - _norm(p + s[..., None] * u - q - t[..., None] * v)


def capsule_box(capsule: Tensor, box: Tensor, radius: Tensor, half: Tensor) -> Tensor:
    """Depth of capsules of radius [P] m in boxes: their line's distance from the box, or its own
    depth where it is inside.
    """
    start, end = (
        (_axes(box) @ (capsule[..., i, :] - box[..., 0, :])[..., None])[..., 0] for i in (0, 1)
    )

    def distance(part: Tensor) -> Tensor:
        return _norm(((start + part[..., None] * (end - start)).abs() - half).clamp(min=0))

    outside = distance(_lowest(distance, start[..., 0]))
    inside = _line_in_box((start + end) / 2, (end - start) / 2, half)
    return radius + torch.where(inside > 0, inside, -outside)


def _line_in_box(middle: Tensor, reach: Tensor, half: Tensor) -> Tensor:
    """The least overlap [B, P] m of lines, middle +- reach [B, P, 3] m along the box's axes, and
    boxes.
    """
    faces = half + reach.abs() - middle.abs()
    axes = torch.linalg.cross(
        torch.eye(3, dtype=reach.dtype).expand(*reach.shape, 3),
        reach[..., None, :].expand(*reach.shape, 3),
    )
    size = axes.norm(dim=-1)
    axes = axes / size[..., None].clamp(min=1e-9)
    edges = (axes.abs() @ half[..., None])[..., 0] - (axes @ middle[..., None])[..., 0].abs()
    return torch.cat(
        [
            faces,
            edges.masked_fill(size < 1e-3 * reach.norm(dim=-1, keepdim=True) + 1e-9, torch.inf),
        ],
        dim=-1,
    ).amin(dim=-1)


def boxes(a: Tensor, b: Tensor, half_a: Tensor, half_b: Tensor) -> Tensor:
    """Depth of boxes in boxes: the least overlap along the fifteen axes that can separate them."""
    axes_a = _axes(a)
    axes_b = _axes(b)
    across = torch.linalg.cross(axes_a[..., :, None, :], axes_b[..., None, :, :]).flatten(-3, -2)
    size = across.norm(dim=-1)
    axes = torch.cat([axes_a, axes_b, across / size[..., None].clamp(min=1e-6)], dim=-2)
    apart = (axes @ (b[..., 0, :] - a[..., 0, :])[..., None])[..., 0].abs()
    reach = (axes @ axes_a.mT).abs() @ half_a[..., None] + (axes @ axes_b.mT).abs() @ half_b[
        ..., None
    ]
    faces, edges = (reach[..., 0] - apart).split([6, 9], dim=-1)
    # Two parallel edges span no axis.
    return torch.cat([faces, edges.masked_fill(size < 1e-3, torch.inf)], dim=-1).amin(dim=-1)


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


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)


def _norm(a: Tensor) -> Tensor:
    return torch.sqrt(_dot(a, a) + TINY)
