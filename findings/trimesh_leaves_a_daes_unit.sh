#!/bin/sh
# trimesh does not apply the unit that a DAE file says (trimesh 5.2.0 with pycollada 0.9.3).
#
# Expected: a DAE whose <unit> is a millimetre gives vertices in metres, as assimp gives them to RViz and Gazebo.
# So: vertices stay in the file's numbers, a hand's link is 1000 times too large; `units` tells "0.001 * meters".
#   Who reads a URDF's meshes has to multiply by the file's unit; STL and OBJ have none.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'trimesh==5.2.0' 'pycollada==0.9.3'
cat > "$folder/look.py" <<'PYTHON'
import sys

import collada
import numpy as np
import trimesh
from collada import geometry, scene, source

document = collada.Collada()
document.assetInfo.unitname, document.assetInfo.unitmeter = "millimeter", 0.001
corners = source.FloatSource("corners", np.array([0, 0, 0, 100, 0, 0, 0, 50, 0, 0, 0, 30.0]), ("X", "Y", "Z"))
shape = geometry.Geometry(document, "link", "link", [corners])
inputs = source.InputList()
inputs.addInput(0, "VERTEX", "#corners")
faces = np.array([0, 1, 2, 0, 1, 3, 0, 2, 3, 1, 2, 3])
shape.primitives.append(shape.createTriangleSet(faces, inputs, "none"))
document.geometries.append(shape)
document.scenes.append(scene.Scene("s", [scene.Node("n", children=[scene.GeometryNode(shape, [])])]))
document.scene = document.scenes[0]
document.write(sys.argv[1])
print(round(float(trimesh.load(sys.argv[1], force="mesh").extents[0]), 3))
PYTHON
length=$("$folder/venv/bin/python" "$folder/look.py" "$folder/link.dae")
echo "a link of 100 mm is read as $length, in metres it would be 0.1"
[ "$length" = 100.0 ] || { echo "not as found any more"; exit 1; }
echo "as found"
