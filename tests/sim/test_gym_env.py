import subprocess
import sys

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

from gymnasium.utils.env_checker import check_env

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla_sim import gym_env
from xlvla_sim.expert import Expert


@pytest.fixture(scope="module")
def env():
    env = gymnasium.make("xlvla/PushCans-v0", hands="xhand+inspire", images=False)
    yield env.unwrapped
    env.close()


def test_every_task_is_registered():
    assert {gym_env.environment(task) for task in catalog.tasks()} <= set(gymnasium.registry)
    assert gym_env.environment("hand_over_bottle") == "xlvla/HandOverBottle-v0"


def test_the_line_of_the_documentation_works_without_an_import():
    made = "gymnasium.make('xlvla_sim.gym_env:xlvla/PushCans-v0', hands='xhand', images=False)"
    line = f"import gymnasium; print({made}.reset(seed=3)[1]['seed'])"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", line], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "3", done.stderr


@pytest.mark.filterwarnings(
    "ignore:.*WARN:UserWarning"
)  # joints have no bounds of which nobody could say they were crossed
def test_an_environment_passes_gymnasiums_own_check():
    with_images = gymnasium.make("xlvla/PushCans-v0", hands="xhand", render_mode="rgb_array")
    check_env(with_images.unwrapped, skip_render_check=True)
    observation, info = with_images.reset(seed=5)
    assert with_images.render().shape == (480, 640, 3) and observation["images"]["front"].shape == (
        240,
        320,
        3,
    )
    assert info["instruction"] == "Push the two tomato cans together." and info["seed"] == 5
    with_images.close()


def test_actions_are_joint_targets_in_the_order_of_the_names(env):
    env.reset(seed=1)
    action = np.concatenate([env.world.joint_state(*key)[0] for key in env.parts])
    column = env.joints.index("right_arm_joint1")
    action[column] -= 0.05
    for _ in range(10):
        observation, *_ = env.step(action)
    assert observation["joints"]["right_arm"][0] == pytest.approx(action[column], abs=0.01)
    assert [name.split("_")[:2] for name in (env.joints[0], env.joints[-1])] == [
        ["left", "arm"],
        ["right", "hand"],
    ]
    assert env.action_space.shape == (len(env.joints),) == (7 + 12 + 7 + 6,)


@pytest.mark.parametrize("wrong", [np.zeros(3), np.full(32, np.nan)])
def test_an_action_that_is_none_is_refused(env, wrong):
    env.reset(seed=1)
    with pytest.raises(XlvlaError):
        env.step(wrong)


def test_what_the_expert_does_is_rewarded_stage_by_stage_until_it_has_succeeded(env, codec):
    env.reset(seed=3)
    expert = Expert(env.rig, codec)
    script = expert.script(env.world, np.random.default_rng(0))
    rewards = []
    ended = (False, False)
    for frame in range(script.frames):
        rows = [script.actions[side][part][frame] for side, part in env.parts]
        _, reward, *ended, info = env.step(np.concatenate(rows))
        rewards.append(reward)
        if any(ended):
            break
    assert list(ended) == [True, False] and info["success"] and sum(rewards) == pytest.approx(1)
    assert sorted({round(reward, 6) for reward in rewards}) == [0, 0.25]


def test_who_does_nothing_is_out_of_time_and_not_at_an_end(env):
    env.reset(seed=3)
    still = np.concatenate([env.world.joint_state(*key)[0] for key in env.parts])
    for _ in range(int(env.world.task.time_limit_s * 20) + 2):
        *_, terminated, truncated, _info = env.step(still)
        if terminated or truncated:
            break
    assert truncated and not terminated


def test_the_same_seed_is_the_same_episode_and_none_is_another(env):
    first, same, other = (env.reset(seed=seed)[1]["seed"] for seed in (7, 7, None))
    assert first == same != other
    places = []
    for seed in (7, 7, 8):
        env.reset(seed=seed)
        places.append(env.world.state.position("can_left"))
    assert (places[0] == places[1]).all() and (places[0] != places[2]).any()
