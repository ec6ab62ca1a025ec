"""Pictures in other light."""

from __future__ import annotations

import torch

from xlvla_policy.training import batches
from xlvla_policy.training.batches import vary_brightness
from xlvla_policy.training.recipe import Augmentation


def test_every_pixel_is_as_bright_as_its_samples_light_makes_it():
    images = torch.randint(
        0, 256, (5, 2, 12, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    light = torch.rand(5, 2, generator=torch.Generator().manual_seed(1))
    augmentation = Augmentation(brightness=0.4, contrast=0.5)
    shown = vary_brightness(images, augmentation, light)
    for image, made, (contrast, brightness) in zip(
        images, shown, (2 * light - 1).tolist(), strict=True
    ):
        wanted = (image - 127.5) * (1 + 0.5 * contrast) + 127.5 + 255 * 0.4 * brightness
        assert (made - wanted.clamp(0, 255)).abs().max() < 1.01
    assert shown.shape == images.shape and shown.dtype == torch.uint8 and (shown != images).any()


def test_light_is_the_same_pixel_by_pixel_as_level_by_level(monkeypatch):
    """As it is computed on a GPU, and on the processor."""
    images = torch.randint(
        0, 256, (3, 1, 8, 12, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2)
    )
    light = torch.rand(3, 2, generator=torch.Generator().manual_seed(3))
    by_level = vary_brightness(images, Augmentation(), light)
    by_pixel = batches.relit(images, Augmentation(), light)
    assert torch.equal(by_level, by_pixel)
