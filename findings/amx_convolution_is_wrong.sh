#!/bin/sh
# A convolution in bfloat16 whose patches lie side by side is quite another one on a CPU with AMX (torch 2.13.0, x86-64).
#
# Expected: `torch.nn.functional.conv2d` of bfloat16 tensors differs from that of float32 by rounding, some thousandths.
# So: where kernel and stride are equal (4, 6, 8, 14, 16) and there are 16 or 24 input channels, or 8 with kernels of 8 or 16,
#   oneDNN's kernel for AMX gives numbers that differ by as much as they are large, without a word. 3, 32, 48 or 64 channels,
#   other strides and float32 are right, and so is the same where AMX is hidden by ONEDNN_MAX_CPU_ISA=AVX512_CORE.
#   Patches of small vision transformers are such convolutions; as a product of matrices they come out right.
#   A processor without AMX shows nothing.
set -eu
if ! grep -q amx_bf16 /proc/cpuinfo; then
    echo "this processor has no AMX: nothing to see"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' numpy
cat > "$folder/look.py" <<'PYTHON'
import sys

import torch
from torch.nn.functional import conv2d, linear, unfold

ROUNDING = 0.02


def errors(channels, size):
    """How far a convolution and the same as a product are from float32, relative."""
    torch.manual_seed(0)
    images = torch.randn(2, channels, 3 * size, 4 * size)
    weight = torch.randn(32, channels, size, size)
    exact = conv2d(images, weight, stride=size)
    half, half_weight = images.bfloat16(), weight.bfloat16()
    patches = unfold(half, size, stride=size).transpose(1, 2)
    product = linear(patches, half_weight.flatten(1)).transpose(1, 2).reshape(exact.shape)
    found = conv2d(half, half_weight, stride=size)
    return [float((x.float() - exact).norm() / exact.norm()) for x in (found, product)]


amx = sys.argv[1] == "amx"
for channels, size in ((3, 14), (16, 4), (24, 8), (8, 16), (48, 8)):
    convolution, product = errors(channels, size)
    print(f"{sys.argv[1]}: {channels} channels, patches of {size}: convolution {convolution:.3f}, product {product:.3f}")
    assert product < ROUNDING
    wrong = amx and channels in (8, 16, 24)
    assert (convolution > 0.5) == wrong, "not as found any more: this finding is out of date"
PYTHON
"$folder/venv/bin/python" "$folder/look.py" amx
ONEDNN_MAX_CPU_ISA=AVX512_CORE "$folder/venv/bin/python" "$folder/look.py" without
echo "as found"
