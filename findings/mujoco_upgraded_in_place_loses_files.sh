#!/bin/sh
# pip breaks MuJoCo when it upgrades it in place from 3 to 4
# (mujoco 3.3.3 to 4.0.0, pip 24 and later).
#
# Expected: after `pip install --upgrade mujoco` it can be imported, as after an installation from nothing.
# So: from 4 on its files come in mujoco-core. pip puts them into the same folder first and then removes the files of MuJoCo 3,
#   the new ones of the same names with them. pip check finds nothing wrong. Installing both anew mends it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip="$folder/venv/bin/python -m pip --disable-pip-version-check --quiet"
loads() { "$folder/venv/bin/python" -c 'import mujoco; mujoco.MjModel' 2>/dev/null && echo loads || echo fails; }
$pip install mujoco==3.3.3
before=$(loads)
$pip install --upgrade mujoco==4.0.0
upgraded=$(loads)
$pip check >/dev/null && checked=clean || checked=complains
$pip install --force-reinstall --no-deps mujoco==4.0.0 mujoco-core==4.0.0
mended=$(loads)
echo "3.3.3: $before, upgraded in place: $upgraded (pip check: $checked), installed anew: $mended"
[ "$before $upgraded $checked $mended" = "loads fails clean loads" ] || { echo "not as found any more"; exit 1; }
echo "as found"
