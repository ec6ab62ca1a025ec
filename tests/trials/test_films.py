"""Films of recorded trials, and the page that shows them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")

import av
from rclpy.serialization import serialize_message

from xlvla import topics
from xlvla.ros import convert
from xlvla_cli.trials.films import FILM_HZ, film_path, make_films
from xlvla_cli.trials.report import write
from xlvla_cli.trials.series import Contender, Series, draw
from xlvla_data.bag.definitions import described
from xlvla_data.bag.layout import Qos
from xlvla_data.bag.picture import KIND
from xlvla_data.bag.writer import BagWriter

SECOND = 1_000_000_000


def record(folder, seconds, cameras):
    """A bag in which cameras [rate in Hz, width, height] become brighter as time passes."""
    names = {camera: topics.COMPRESSED.format(camera=camera) for camera in cameras}
    writer = BagWriter(
        folder,
        [described(name, KIND, Qos(1, reliable=False, latched=False)) for name in names.values()],
        "jazzy",
    )
    messages = []
    for camera, (rate_hz, width, height) in cameras.items():
        for frame in range(round(seconds * rate_hz) + 1):
            ns = SECOND + round(frame / rate_hz * SECOND)
            shade = round(200 * frame / (seconds * rate_hz))
            picture = np.full((height, width, 3), shade, np.uint8)
            data = serialize_message(convert.jpeg(picture, 90, ns, camera))
            messages.append((ns, names[camera], data))
    for ns, name, data in sorted(messages):
        writer.add(name, data, ns, ns)
    writer.flush()
    writer.close()


def scored(recordings):
    """A series of two trials, scored, with these recordings."""
    contenders = (Contender("one", {}, "1"), Contender("other", {}, "2"))
    trials = draw([("push_cans", "xhand+xhand")], [5], 2, seed=0)
    series = Series("bimanual", 0, contenders, trials)
    for trial, recording in zip(trials, recordings, strict=True):
        changed = replace(trial, state="scored", attempts=1, recording=recording, end="<over>")
        series = series.with_trial(changed)
    return series


def test_a_film_shows_all_cameras_side_by_side_at_their_own_times(tmp_path):
    cameras = {"front": (20, 64, 48), "wrist": (7, 32, 32)}
    record(tmp_path / "recordings" / "first", 2.0, cameras)
    series = scored(["recordings/first", ""])
    assert list(make_films(series, tmp_path)) == []
    first, second = (film_path(tmp_path, trial) for trial in series.trials)
    assert not second.exists()
    assert [path.name for path in first.parent.iterdir()] == [first.name]
    with av.open(str(first)) as file:
        shown = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert shown[0].shape == (48, 96, 3)
    assert len(shown) == pytest.approx(2 * FILM_HZ, abs=2)
    for number, picture in enumerate(shown):
        expected = 100 * number / FILM_HZ
        assert picture[:40, :60].mean() == pytest.approx(expected, abs=8)
        # The slower camera's newest picture is up to a seventh of a second old.
        assert expected - 22 < picture[:28, 68:92].mean() < expected + 8
    before = first.stat().st_mtime_ns
    list(make_films(series, tmp_path))
    assert first.stat().st_mtime_ns == before


def test_a_recording_that_is_elsewhere_or_without_pictures_is_a_line_and_no_film(tmp_path):
    record(tmp_path / "blind", 1.0, {})
    series = scored(["gone", "blind"])
    lines = list(make_films(series, tmp_path))
    assert "trial 1: its recording is not here" in lines[0]
    assert "trial 2: no film: no camera was recorded" in lines[1]
    assert not list(tmp_path.rglob("*.mp4"))


def test_the_page_has_every_trial_with_its_film_and_what_was_written_as_text(tmp_path):
    series = scored(["", ""])
    series = series.with_trial(replace(series.trial(2), notes="<script>", stage=0.5))
    page = write(series, {2: "films/trial_002_1.mp4"}, tmp_path / "report.html").read_text()
    assert page.count("<video") == 1 and 'src="films/trial_002_1.mp4#t=0.1"' in page
    assert page.count("<div class=none>no film</div>") == 1
    assert "&lt;script&gt;" in page and "<script>" not in page
    assert "&lt;over&gt;" in page and ">0.50<" in page
