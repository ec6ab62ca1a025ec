"""`xlvla bench data`: its figures are of real recordings, data sets and samples."""

from __future__ import annotations

from dataclasses import replace

import made_episodes

from xlvla_cli.bench import data as bench_data
from xlvla_data import store

FRAMES = 40


def test_every_figure_is_measured(tmp_path):
    made = made_episodes.episode(0, FRAMES)
    wide = [picture[:, :64] for picture in made.pictures["front"]]
    bags = bench_data.recorded([replace(made, pictures={"front": wide})], tmp_path / "recordings")
    conversion = bench_data.converted(bags, tmp_path / "data")
    assert conversion.wall_s > 0 and conversion.processor_s > 0
    assert [stored.row.length for stored in store.find(conversion.root)] == [FRAMES]
    sizes = dict(bench_data.sizes(bags, conversion.root))
    assert (
        list(sizes) == ["recording", "videos", "numbers", "tables"] and min(sizes.values()) > 1000
    )
    rows = list(bench_data.loaded(conversion.root, tmp_path / "cache", 0.1, 1))
    rates = [float(row.figure.split()[0]) for row in rows]
    assert (
        len(rows) == 4 and min(rates) > 0 and "64-frame chunks + a 224x224 picture" in rows[2].what
    )
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1
