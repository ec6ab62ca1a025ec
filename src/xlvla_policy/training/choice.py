"""What of a training run is not its recipe: data, model, machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

AT_LEAST_ONE = {"min": 1}


@dataclass(frozen=True)
class Choice:
    """What of a run is not the recipe.

    Args:
        data: data sets or folders of them, `A` or with a weight `A=0.3`.
        preset: size of the model: tiny, small, pi0, pi0_base.
        space: action space: latent, or for comparison raw (joints, padded to the longest hand) or
            retargeted (joints of the hand of --only, from which others are retargeted at run time);
            the preset's if not given.
        only: hand whose demonstrations alone are trained on: one policy per hand.
        cameras: names in order; the preset's if not given.
        init: weights to begin with: of `xlvla weights import`, or a policy's.
        words: Sentencepiece model; the bundled one if not given. Weights that were trained with
            PaliGemma's tokenizer need that.
        stride: frames between observations.
        threads: processor threads.
        device: cpu or cuda; auto takes CUDA where there is one.
        cache: folder for decoded pictures; `.cache` beside the first data set if not given.
        resume: resume an interrupted run from its last saved state, with its recipe; only where it
            ends may be chosen anew.
        fresh: begin anew, although the state of an interrupted run lies at the same place.
        tensorboard: write TensorBoard event files next to the weights.
        log: services that draw curves and compare runs: trackio, wandb. What each needs is set by
            its own environment variables.
        held_out: share of the episodes kept for validation.
        save_s: seconds between saved states.
        validate_s: seconds between validations.
        holdout: hands and tasks to keep out of training, such as xhand:SC,inspire:PC.
    """

    data: tuple[str, ...]
    preset: str = "small"
    space: str = ""
    only: str = ""
    cameras: tuple[str, ...] = ()
    init: Path | None = None
    words: Path | None = None
    stride: int = field(default=2, metadata=AT_LEAST_ONE)
    threads: int = field(default=2, metadata=AT_LEAST_ONE)
    device: str = "auto"
    cache: Path | None = None
    resume: bool = False
    fresh: bool = False
    tensorboard: bool = False
    log: tuple[str, ...] = ()
    held_out: float = field(default=0.04, metadata={"min": 0.0, "max": 0.9})
    save_s: float = field(default=60.0, metadata={"min": 0.0})
    validate_s: float = field(default=180.0, metadata={"min": 0.0})
    holdout: str = ""
