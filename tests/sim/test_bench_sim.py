"""`xlvla bench sim`: its table, and what its figure of memory stands for."""

import gc

import numpy as np
import typer
from typer.testing import CliRunner

from xlvla_cli import bench
from xlvla_sim.world import World

app = typer.Typer()
bench.register(app)


def test_a_row_of_the_table_has_a_figure_in_every_column_but_memory_where_it_is_not_asked_for():
    arguments = "bench sim --task push_cans --hands xhand --episodes 1 --resets 0"
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments.split())
    assert done.exit_code == 0, done.output
    (row,) = [line for line in done.output.splitlines() if "xhand" in line]
    task, hand, *figures = (cell.strip() for cell in row.strip("│ ").split("│"))
    assert (task, hand) == ("PC", "xhand")
    assert np.isfinite([float(figure) for figure in figures[:3]]).all()
    assert figures[3:] == ["-", "-"]


def test_resets_leave_no_objects_behind(rig_with):
    world = World(rig_with("xhand"), render=False)
    counts = []
    for _ in range(2):
        for seed in range(20):
            world.reset(seed)
        gc.collect()
        counts.append(len(gc.get_objects()))
    assert counts[1] - counts[0] < 20, "each reset left an object behind"
