"""From demonstrations to a policy to a success rate, by three commands.

The scripted expert demonstrates a task in simulation with two hands; a policy learns from that, and
is evaluated on seeds that training never used: with these hands, and with one that it never saw.
Episodes and trials that are there already are not made again.

Prints what the commands print, and at last the successes by hand. In full it collects 400 episodes
and trains for 40 minutes; `--quick` goes the same way with so little that nothing is learned.
"""

import json
import subprocess
import sys
from pathlib import Path

DEMONSTRATIONS = Path("out/demonstrations")
WEIGHTS = Path("out/policy.safetensors")
EVALUATION = Path("out/evaluation")

FULL = {
    "collect": "--hands xhand,inspire --episodes 200",
    "train": "--preset small --minutes 40",
    "eval": "--hands xhand,inspire,ability --trials 10",
}
QUICK = {
    "collect": "--hands xhand --episodes 2",
    "train": "--preset tiny --steps 20 --threads 1",
    "eval": "--hands xhand --trials 1 --videos none",
}


def xlvla(command: str, options: str) -> None:
    """Runs a command; where it fails, so does the script."""
    subprocess.run([sys.executable, "-m", "xlvla", *command.split(), *options.split()], check=True)


def main() -> None:
    size = QUICK if "--quick" in sys.argv else FULL
    xlvla(f"sim collect --task push_cans --out {DEMONSTRATIONS}", size["collect"])
    xlvla(f"train policy --data {DEMONSTRATIONS} --out {WEIGHTS}", size["train"])
    xlvla(f"eval --policy {WEIGHTS} --tasks push_cans --out {EVALUATION}", size["eval"])

    results = json.loads((EVALUATION / "results.json").read_text())
    for hand, counted in results["by_hands"].items():
        print(f"{hand}: {counted['successes']} of {counted['trials']}")


if __name__ == "__main__":
    main()
