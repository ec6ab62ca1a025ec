"""Films of the trials that were recorded, made once from their bags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from xlvla.errors import XlvlaError
from xlvla_cli.trials.series import Series, Trial

FILM_HZ = 10


def film_path(folder: Path, trial: Trial) -> Path:
    """Named by number and attempt: a trial that is played again has another film."""
    return folder / "films" / f"trial_{trial.number:03d}_{trial.attempts}.mp4"


def make_films(series: Series, folder: Path) -> Iterator[str]:
    """Makes the films that are not there yet; a line for each trial whose recording gives none."""
    for trial in series.scored:
        path = film_path(folder, trial)
        if not trial.recording or path.is_file():
            continue
        recording = folder / trial.recording
        if not recording.is_dir():
            yield f"trial {trial.number}: its recording is not here: {recording}"
            continue
        try:
            _make(recording, path)
        except XlvlaError as error:
            yield f"trial {trial.number}: no film: {error}"


def _make(recording: Path, path: Path) -> None:
    """The pictures of all cameras side by side, at a constant rate."""
    from xlvla import files
    from xlvla.film import Film
    from xlvla_data.bag.reader import Bag
    from xlvla_data.recorded import cameras
    from xlvla_data.recorded_episode import SelectedImages
    from xlvla_data.resample import as_of, in_order

    streams = cameras(Bag(recording))
    if not streams:
        raise XlvlaError("no camera was recorded")
    first_ns = max(int(stream.stamps[0]) for stream in streams.values())
    last_ns = min(int(stream.stamps[-1]) for stream in streams.values())
    if last_ns < first_ns:
        raise XlvlaError("its cameras were never recorded at the same time")
    times_ns = np.arange(first_ns, last_ns + 1, round(1e9 / FILM_HZ))
    shown = [
        SelectedImages(stream, as_of(in_order(camera, stream.stamps), times_ns))
        for camera, stream in streams.items()
    ]
    with files.replacing(path) as fresh:
        # Its name must say what kind of file it is.
        drawn = fresh.with_suffix(".mp4")
        try:
            with Film(drawn, FILM_HZ) as film:
                for pictures in zip(*shown, strict=True):
                    film.add(_even(np.concatenate(_of_equal_height(pictures), axis=1)))
            drawn.replace(fresh)
        finally:
            drawn.unlink(missing_ok=True)


def _of_equal_height(pictures: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    tallest = max(len(picture) for picture in pictures)
    return [np.pad(p, ((0, tallest - len(p)), (0, 0), (0, 0))) for p in pictures]


def _even(picture: np.ndarray) -> np.ndarray:
    height, width, _ = picture.shape
    return picture[: height - height % 2, : width - width % 2]
