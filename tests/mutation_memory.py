"""Prints how much memory the tests of damaged files take, by format: `python tests/mutation_memory.py`.

Every format has a process of its own. What counts is the largest resident memory while a test runs,
and how much of it came with the test. Needs Linux.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

WORDS = "tests/words/test_damaged_words.py"
BAGS = "tests/data/test_damaged_bags.py"
SETS = "tests/data/test_damaged_sets.py"
BYTES = f"{SETS}::test_a_file_with_damaged_bytes_is_read_or_told_in_one_line"
POLICY = "tests/policy/test_damaged_files.py"

FORMATS = {
    "rig, YAML": [f"{WORDS}::test_a_damaged_rig_file_is_one_line"],
    "URDF": [f"{WORDS}::test_a_damaged_urdf_is_one_line"],
    "bag, MCAP": [BAGS],
    "data set, parquet": [
        f"{BYTES}[frames-the rest]",
        f"{BYTES}[episodes-the rest]",
        f"{BYTES}[tasks-the rest]",
        f"{BYTES}[pictures in the table-the rest]",
        f"{SETS}::test_a_table_of_episodes_with_other_values_is_read_or_told_in_one_line",
    ],
    "data set, JSON": [
        f"{BYTES}[info-the rest]",
        f"{BYTES}[stats-the rest]",
        f"{SETS}::test_a_document_with_something_else_at_any_place_is_read_or_told_in_one_line",
    ],
    "data set, video": [f"{BYTES}[video-the rest]"],
    "weights, safetensors": [
        f"{POLICY}::test_damaged_policy_weights_are_one_line",
        f"{POLICY}::test_a_damaged_header_of_policy_weights_is_one_line",
        f"{POLICY}::test_a_card_of_another_shape_is_one_line_though_its_checksum_is_right",
        f"{POLICY}::test_damaged_codecs_are_one_line",
        f"{POLICY}::test_a_damaged_training_state_is_one_line",
    ],
    "exported folder, ONNX": [
        f"{POLICY}::test_a_damaged_file_of_an_exported_folder_is_one_line",
        f"{POLICY}::test_an_exported_card_of_another_shape_is_one_line",
    ],
    "tokenizer": [f"{POLICY}::test_a_damaged_tokenizer_is_one_line"],
}


class Peak:
    """The largest resident memory [MB] of a test's run, and the largest growth during one."""

    def __init__(self) -> None:
        self.tests = 0
        self.failed = 0
        self.largest = 0.0
        self.growth = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None]:
        # Sets the largest so far to what is resident now.
        Path("/proc/self/clear_refs").write_text("5")
        before = _resident("VmRSS")
        try:
            return (yield)
        except BaseException:
            self.failed += 1
            raise
        finally:
            peak = _resident("VmHWM")
            self.tests += 1
            self.largest = max(self.largest, peak)
            self.growth = max(self.growth, peak - before)


def _resident(field: str) -> float:
    """A figure of this process's memory [MB]."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def measure(tests: list[str], out: Path) -> None:
    """Runs tests here and writes their memory to a file."""
    peak = Peak()
    pytest.main(["-q", "-p", "no:cacheprovider", *tests], plugins=[peak])
    out.write_text(json.dumps(vars(peak)))


def main() -> None:
    print("| format | tests | failed | largest memory | of it the test's |")
    print("|---|---|---|---|---|")
    for name, tests in FORMATS.items():
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "peak.json"
            command = [sys.executable, __file__, str(out), *tests]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            peak = json.loads(out.read_text())
        memory = f"{peak['largest']:.0f} MB | {peak['growth']:.0f} MB"
        print(f"| {name} | {peak['tests']} | {peak['failed']} | {memory} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[2:], Path(sys.argv[1]))
    else:
        main()
