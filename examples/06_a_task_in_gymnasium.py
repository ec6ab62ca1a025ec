"""A simulated task as a Gymnasium environment.

A step is 1/20 s; an action is a target [rad] for every joint of both arms and both hands. The
reward is the share of the task's stages reached in the step, so a whole episode is worth 1. Here
the scripted expert acts; put your own policy in its place. Without `images=False` an observation
has the cameras' pictures, too.

Prints the spaces, each step with a reward, and how the episode ended.
"""

from collections.abc import Iterator

import gymnasium
import numpy as np

from xlvla.codec import Codec
from xlvla_sim.expert import Expert
from xlvla_sim.gym_env import TaskEnv


def expert_actions(env: TaskEnv) -> Iterator[np.ndarray]:
    """Targets [N] rad of the scripted expert, frame by frame, in the order of `env.joints`."""
    expert = Expert(env.rig, Codec.load())
    script = expert.script(env.world, np.random.default_rng(0))
    for frame in range(script.frames):
        yield np.concatenate([script.actions[side][part][frame] for side, part in env.parts])


def main() -> None:
    env = gymnasium.make("xlvla_sim.gym_env:xlvla/PushCans-v0", hands="xhand+inspire", images=False)
    observation, info = env.reset(seed=3)
    print(f"task: {info['instruction']}")
    print(f"action: {env.action_space.shape[0]} joints")
    for part, joints in observation["joints"].items():
        print(f"observation: {part}, {len(joints)} joints")

    total = 0.0
    for step, action in enumerate(expert_actions(env.unwrapped)):
        observation, reward, terminated, truncated, info = env.step(action)
        total += reward
        if reward:
            print(f"step {step}: reward {reward:.2f}, {info['text']}")
        if terminated or truncated:
            break
    print(f"return {total:.2f}, success {info['success']}")
    env.close()


if __name__ == "__main__":
    main()
