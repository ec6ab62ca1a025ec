"""Curves and settings of a run for a service that compares runs: trackio or Weights & Biases."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xlvla.errors import XlvlaError, unknown
from xlvla.text import plain
from xlvla_policy.training import curves
from xlvla_policy.training.loop import Progress
from xlvla_policy.training.validation import Errors

SERVICES = ("trackio", "wandb")

PROJECT = "xlvla"
"""Where WANDB_PROJECT or TRACKIO_PROJECT names no other."""


def require(services: Sequence[str]) -> None:
    """Raises XlvlaError for a service that is unknown or whose package is not installed."""
    for service in services:
        if service not in SERVICES:
            raise unknown("service of --log", service, SERVICES)
        if importlib.util.find_spec(service) is None:
            raise XlvlaError(f"--log {service} needs '{service}': pip install 'xlvla[{service}]'")


def new_name(weights: str) -> str:
    """A name that no other run has, for weights of that name: `push_cans-20261130-2150-3fa2`."""
    return f"{weights}-{time.strftime('%Y%m%d-%H%M')}-{secrets.token_hex(2)}"


class Tracker:
    """One run in a service.

    A point is sent when the state of the training that it belongs to is saved. So a run that was
    killed and resumed goes on in the same curves without a point twice.

    Args:
        service: one of `SERVICES`; both have wandb's calls.
        run: its name, which is the same when it is resumed.
        settings: what runs are compared by.
        say: where to say that the service failed; training goes on.

    Raises:
        XlvlaError: the service does not take the run.
    """

    def __init__(
        self, service: str, run: str, settings: Mapping[str, Any], say: Callable[[str], None]
    ):
        self.service = service
        self._say = say
        self._points: list[tuple[int, dict[str, float]]] = []
        self._module: Any = importlib.import_module(service)
        options: dict[str, Any] = {"name": run, "resume": "allow"}
        if service == "wandb":
            options["id"] = run
        project = os.environ.get(f"{service.upper()}_PROJECT") or PROJECT
        # Plain values: lists for tuples, no mappings of ours.
        config = json.loads(json.dumps(settings))
        try:
            self._module.init(project=project, config=config, **options)
        # Whatever it is, nothing has been trained yet.
        except Exception as error:
            raise XlvlaError(f"{self._failure(error)}; train without --log {service}") from None

    def step(self, now: Progress, samples: int) -> None:
        """A point of the curves of training, every few steps."""
        if now.step % curves.EVERY == 0:
            self._points.append((now.step, curves.of_training(now, samples)))

    def validation(self, step: int, errors: Errors) -> None:
        """A point of the curves of validation."""
        self._points.append((step, curves.of_validation(errors)))

    def saved(self) -> None:
        """Sends all points until now."""
        points = self._points
        self._points = []
        self._try(lambda: [self._module.log(values, step=step) for step, values in points])

    def close(self) -> None:
        """Sends the rest and ends the run, or this part of it."""
        self.saved()
        self._try(lambda: self._module.finish())

    def _try(self, send: Callable[[], Any]) -> None:
        """A service that fails ends its curves, not the training."""
        if self._module is None:
            return
        try:
            send()
        except Exception as error:
            self._module = None
            self._say(f"{self._failure(error)}; the training goes on without it")

    def _failure(self, error: Exception) -> str:
        reason = plain(" ".join(str(error).split()), 300) or type(error).__name__
        return f"{self.service} failed: {reason}"
