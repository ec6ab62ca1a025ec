"""What `xlvla eval` plays and how: its fields are the options of the command."""

from __future__ import annotations

from dataclasses import dataclass, field

from xlvla.types import FIRST_EVALUATION_SEED


@dataclass(frozen=True)
class EvaluationChoice:
    """What to evaluate.

    Args:
        policy: weights file, 'expert' for the scripted expert, or a policy's name for the shipped
            weights.
        tasks: tasks, the paper's codes or names, separated by commas, or 'all'; PS+PoS is PS with
            the things of PoS on the table, too.
        hands: hands, separated by commas; 'left+right' for two different ones, 'paper' for its
            four, 'all'.
        trials: episodes per task and hand.
        seed: first seed; seeds from 1000000 on are never trained on.
        videos: which trials to record as video: none, failures, all; failures if not given.
        holdout: held-out pairs, xhand:SC,inspire:PC, if the weights file does not list them.
        ros: run on the ROS graph in real time instead of in one process.
        engine: where trials run: local processes, or a ray cluster.
        workers: trials run in parallel; 0 is one per core.
        rig: rig to simulate.
        delay: seconds from an observation to its chunk's taking effect, in process.
        threads: processor threads of a policy.
        sentences: three other tables: tasks asked for in words never trained on, with the things of
            two tasks on the table, and with a wrong sentence; four episodes for each trial.
    """

    policy: str = "xlvla"
    tasks: str = "PC"
    hands: str = "xhand,inspire"
    trials: int = field(default=10, metadata={"min": 1})
    seed: int = field(default=FIRST_EVALUATION_SEED, metadata={"min": 0})
    videos: str | None = None
    holdout: str = ""
    ros: bool = False
    engine: str = "local"
    workers: int = field(default=1, metadata={"min": 0})
    rig: str = "bimanual"
    delay: float = field(default=0.15, metadata={"min": 0})
    threads: int = field(default=1, metadata={"min": 1})
    sentences: bool = False
