#!/bin/sh
# bfloat16 products on a CPU without AVX-512 are tens of times slower than float32 (torch 2.13.0, x86-64).
#
# Expected: `torch.autocast("cpu", torch.bfloat16)` is at least as quick as float32, or says why not.
# So: without AVX-512 oneDNN takes no bfloat16 product and torch computes it in plain loops: with two 256x256 matrices tens of
#   times the time of float32, without a word. Ask `torch.ops.mkldnn._is_mkldnn_bf16_supported()` first.
#   The two variables below hide AVX-512 where a processor has it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' numpy
cat > "$folder/look.py" <<'PYTHON'
import time

import torch

SIZE = 256
RUNS = 15
LEAST = 10


def milliseconds(dtype):
    """The median time of a product of two matrices."""
    a, b = torch.randn(2, SIZE, SIZE).to(dtype)
    a @ b
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        a @ b
        times.append(1000 * (time.perf_counter() - began))
    return sorted(times)[RUNS // 2]


torch.set_num_threads(1)
single, half = milliseconds(torch.float32), milliseconds(torch.bfloat16)
print(f"{SIZE}x{SIZE}: float32 {single:.2f} ms, bfloat16 {half:.2f} ms, {half / single:.0f} times as long")
assert half > LEAST * single, "bfloat16 is not slow any more: this finding is out of date"
print("as found")
PYTHON
ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 "$folder/venv/bin/python" "$folder/look.py"
