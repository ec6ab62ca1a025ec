"""What `xlvla evidence` does, as steps; each is a command of `xlvla`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from xlvla.codec import VARIABLE
from xlvla.errors import XlvlaError
from xlvla_cli.evidence.steps import Step

AT_LEAST_ONE = {"min": 1}

LATENT = "latent"
RAW = "raw"
RETARGETED = "retargeted"
APART = "apart"
HELD_OUT = "held_out"
SECOND = "second_seed"
UNSEEN = "unseen"
ROS = "ros"
REPLAY = "replay.json"


@dataclass(frozen=True)
class EvidenceChoice:
    """How much evidence.

    Args:
        tasks: tasks, the paper's codes or names, separated by commas, or 'all'.
        hands: hands that are trained, separated by commas, or 'paper' for its four.
        unseen: hands in no data of a policy; the codec is taught those that it lacks. '' for none.
        episodes: demonstrations per task and hand.
        disturb: share of them that are disturbed.
        minutes: training minutes of every policy; those of one hand share them.
        codec_steps: steps of the codec without cross-hand terms; its recipe's if 0.
        trials: episodes per task and hand.
        ros_trials: the same on the running graph; 0 leaves it out.
        second: whether the policy is trained once more from another seed.
        preset: size of the policies.
        engine: where evaluations run: local, or a ray cluster.
    """

    tasks: str = "all"
    hands: str = "paper"
    unseen: str = "allegro"
    episodes: int = field(default=50, metadata=AT_LEAST_ONE)
    disturb: float = field(default=0.5, metadata={"min": 0.0, "max": 1.0})
    minutes: float = field(default=120.0, metadata={"min": 0.01})
    codec_steps: int = field(default=0, metadata={"min": 0})
    trials: int = field(default=10, metadata=AT_LEAST_ONE)
    ros_trials: int = field(default=3, metadata={"min": 0})
    second: bool = True
    preset: str = "small"
    engine: str = "local"


FULL = EvidenceChoice()
QUICK = EvidenceChoice(
    tasks="PC,SC",
    hands="xhand,inspire",
    unseen="",
    episodes=8,
    minutes=1.5,
    codec_steps=300,
    trials=1,
    ros_trials=0,
    second=False,
)
"""A thin slice: it shows that everything works, and nothing about how well."""


@dataclass(frozen=True)
class Places:
    """Where in the folder things lie."""

    out: Path

    @property
    def demos(self) -> Path:
        return self.out / "demos"

    def weights(self, way: str) -> Path:
        return self.out / "policies" / f"{way}.safetensors"

    def codec(self, name: str) -> Path:
        return self.out / "codecs" / f"{name}.safetensors"

    def evaluation(self, way: str) -> Path:
        return self.out / "eval" / way


def way_of(hand: str) -> str:
    """The policy that was trained on one hand alone."""
    return f"only_{hand}"


def hands_of(plan: EvidenceChoice) -> tuple[str, ...]:
    from xlvla import catalog, paper

    return tuple(catalog.hand(name).name for name in paper.hands(plan.hands))


def tasks_of(plan: EvidenceChoice) -> tuple[str, ...]:
    from xlvla import paper

    return paper.tasks(plan.tasks)


def held_out(plan: EvidenceChoice) -> str:
    """Pairs of hand and task so that each hand misses some tasks, and every task is shown by
    another hand: the k-th task is missed by one hand, in turn.
    """
    from xlvla import paper

    hands = hands_of(plan)
    pairs: list[str] = []
    for number, task in enumerate(tasks_of(plan)):
        pairs.append(f"{hands[number % len(hands)]}:{paper.code(task)}")
    return ",".join(pairs)


def steps(plan: EvidenceChoice, out: Path, workers: int) -> list[Step]:
    """Every step in its order."""
    if len(hands_of(plan)) < 2:
        raise XlvlaError("evidence compares hands: give two or more --hands")
    cells = len(tasks_of(plan)) * len(hands_of(plan))
    maker = _Maker(plan, Places(out), workers, cells)
    return list(maker.steps())


@dataclass(frozen=True)
class _Maker:
    plan: EvidenceChoice
    places: Places
    workers: int
    cells: int

    def steps(self) -> Iterator[Step]:
        plan = self.plan
        first, *_ = hands_of(plan)
        yield self._collect()
        yield self._train(LATENT)
        yield from self._judge(LATENT)
        yield self._sentences()
        yield self._train(RAW, "--space", "raw")
        yield from self._judge(RAW)
        yield self._train(RETARGETED, "--space", "retargeted", "--only", first)
        yield from self._judge(RETARGETED)
        for hand in hands_of(plan):
            way = way_of(hand)
            share = plan.minutes / len(hands_of(plan))
            yield self._train(way, "--only", hand, minutes=share)
            yield from self._judge(way, hands=hand)
        yield self._codec_apart()
        apart = self.places.codec(APART)
        yield self._train(APART, codec=apart)
        yield from self._judge(APART, codec=apart)
        yield self._train(HELD_OUT, "--holdout", held_out(plan))
        yield from self._judge(HELD_OUT)
        if plan.second:
            yield self._train(SECOND, "--seed", "1")
            yield from self._judge(SECOND)
        if plan.unseen:
            yield from self._unseen()
        yield self._replay()
        if plan.ros_trials:
            yield from self._judge(LATENT, "--ros", to=ROS, trials=plan.ros_trials)

    @property
    def _how(self) -> tuple[str, ...]:
        return ("--workers", str(self.workers), "--engine", self.plan.engine)

    def _collect(self) -> Step:
        plan = self.plan
        command = ["sim", "collect", "--task", plan.tasks, "--hands", plan.hands]
        command += ["--episodes", str(plan.episodes), "--mixed", "0"]
        command += ["--disturb", f"{plan.disturb:g}", "--out", str(self.places.demos)]
        episodes = self.cells * plan.episodes
        how = ("--workers", str(self.workers))
        return Step("collect", "collect", tuple(command), self.places.demos, episodes, how=how)

    def _train(
        self, way: str, *more: str, minutes: float | None = None, codec: Path | None = None
    ) -> Step:
        wanted = self.plan.minutes if minutes is None else minutes
        weights = self.places.weights(way)
        command = ["train", "policy", "--data", str(self.places.demos), "--out", str(weights)]
        command += ["--preset", self.plan.preset, "--minutes", f"{wanted:g}", *more]
        needs = ["collect"] if codec is None else ["collect", "codec apart"]
        return Step(
            f"train {way}", "train", tuple(command), weights, wanted, tuple(needs), _with(codec)
        )

    def _judge(
        self,
        way: str,
        *more: str,
        to: str = "",
        hands: str = "",
        trials: int = 0,
        codec: Path | None = None,
        needs: Sequence[str] = (),
    ) -> Iterator[Step]:
        plan = self.plan
        to = to or way
        hands = hands or plan.hands
        trials = trials or plan.trials
        folder = self.places.evaluation(to)
        command = ["eval", "--policy", str(self.places.weights(way)), "--tasks", plan.tasks]
        command += ["--hands", hands, "--trials", str(trials), "--out", str(folder), *more]
        how: tuple[str, ...] = ()
        if "--ros" not in more:
            command += ["--videos", "failures" if to == LATENT else "none"]
            how = self._how
        listed = len(hands_of(replace(plan, hands=hands)))
        count = len(tasks_of(plan)) * listed * trials
        yield Step(
            f"evaluate {to}",
            "graph" if "--ros" in more else "evaluate",
            tuple(command),
            folder / "results.json",
            count,
            (f"train {way}", *needs),
            _with(codec),
            how,
        )

    def _sentences(self) -> Step:
        """Into the latent's folder, whose trials with the trained sentence it need not repeat."""
        plan = self.plan
        folder = self.places.evaluation(LATENT)
        command = ["eval", "--sentences", "--policy", str(self.places.weights(LATENT))]
        command += ["--tasks", plan.tasks, "--hands", plan.hands, "--trials", str(plan.trials)]
        command += ["--out", str(folder)]
        count = 3 * self.cells * plan.trials
        needs = (f"evaluate {LATENT}",)
        result = folder / "sentences.json"
        return Step("sentences", "evaluate", tuple(command), result, count, needs, how=self._how)

    def _codec_apart(self) -> Step:
        from xlvla_policy.latent.recipe import preset

        codec = self.places.codec(APART)
        command = ["codec", "train", "--preset", "apart", "--hands", ",".join(hands_of(self.plan))]
        command += ["--out", str(codec), "--resume"]
        if self.plan.codec_steps:
            command += ["--steps", str(self.plan.codec_steps)]
        # Left hands and settling take their steps, however few the right hands have.
        recipe = preset(APART)
        count = self.plan.codec_steps or recipe.steps
        count += recipe.left_steps + recipe.settle_steps
        return Step("codec apart", "codec", tuple(command), codec, count)

    def _unseen(self) -> Iterator[Step]:
        """Hands that are in no data; the codec is taught one after the other."""
        from xlvla import paper
        from xlvla.codec import Codec

        known = set(Codec.load().hands)
        taught: Path | None = None
        needs: list[str] = []
        for hand in paper.hands(self.plan.unseen):
            if hand in known:
                continue
            codec = self.places.codec(hand)
            command = ["codec", "add", hand, "--out", str(codec), "--resume"]
            if taught:
                command += ["--weights", str(taught)]
            name = f"codec with {hand}"
            yield Step(name, "new hand", tuple(command), codec, 1, tuple(needs))
            taught = codec
            needs = [name]
        yield from self._judge(LATENT, to=UNSEEN, hands=self.plan.unseen, codec=taught, needs=needs)

    def _replay(self) -> Step:
        plan = self.plan
        result = self.places.out / REPLAY
        command = ["codec", "replay", "--tasks", plan.tasks, "--hands", plan.hands]
        command += ["--episodes", "1", "--out", str(result)]
        command += ["--cache", str(self.places.out / "codecs")]
        hands = len(hands_of(plan))
        count = len(tasks_of(plan)) * hands * (1 + 3 * (hands - 1))
        return Step("replay", "replay", tuple(command), result, count)


def _with(codec: Path | None) -> tuple[tuple[str, str], ...]:
    """The environment in which a codec is used."""
    return () if codec is None else ((VARIABLE, str(codec.resolve())),)
