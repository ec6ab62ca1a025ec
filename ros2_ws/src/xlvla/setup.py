"""The same packages as the pip distribution, installed the way ROS 2 expects; every `*/nodes/*.py`
is an executable.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

NAME = "xlvla"
SHARED = ("launch", "urdf")


def data_files():
    """(folder, files) of everything below `share/xlvla`."""
    files = [("share/ament_index/resource_index/packages", [f"resource/{NAME}"]), (f"share/{NAME}", ["package.xml"])]
    for root in SHARED:
        folders = sorted({path.parent for path in Path(root).glob("**/*") if path.is_file() and "__pycache__" not in path.parts})
        files += [(f"share/{NAME}/{folder}", sorted(str(path) for path in folder.iterdir() if path.is_file())) for folder in folders]
    return files


def package_data():
    """Rigs, weights and whatever else lies beside the code."""
    roots = [path for path in sorted(Path().glob("xlvla*")) if path.is_dir()]
    files = {root.name: [path for path in sorted(root.glob("**/*")) if path.is_file()] for root in roots}
    return {name: [str(path.relative_to(name)) for path in paths if path.suffix not in (".py", ".pyc")] for name, paths in files.items()}


def executables():
    """`xlvla_sim_sim = xlvla_sim.nodes.sim:main`, and so on; `ros2 run xlvla` lists them."""
    nodes = [path for path in sorted(Path().glob("*/nodes/*.py")) if not path.name.startswith("_")]
    names = [(path.parts[0], path.stem) for path in nodes]
    return [f"{NAME} = xlvla.__main__:main", *(f"{package}_{node} = {package}.nodes.{node}:main" for package, node in names)]


setup(
    name=NAME,
    version=re.search(r'__version__ = "(.+)"', Path("xlvla/__init__.py").read_text()).group(1),
    packages=find_packages(include=["xlvla*"]),
    package_data=package_data(),
    data_files=data_files(),
    install_requires=["setuptools"],
    zip_safe=False,
    entry_points={"console_scripts": executables()},
)
