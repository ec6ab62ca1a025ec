"""Cameras: a video file as one, devices that are not there, and what becomes of a picture."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from xlvla.errors import XlvlaError
from xlvla_drivers import registry
from xlvla_drivers.cameras import realsense, v4l2, video
from xlvla_drivers.cameras.camera import (
    CameraOptions,
    ImageFrame,
    Intrinsics,
    published,
    published_intrinsics,
    system_time_ns,
)
from xlvla_drivers.cameras.watch import FrameSelector, Watch
from xlvla_drivers.device import LinkLost

pytestmark = pytest.mark.usefixtures("hastened")

SIZE = (96, 54)
RATE_HZ = 50.0
COUNT = 25


@pytest.fixture
def film(tmp_path):
    """Pictures that get brighter, the left half red."""
    path = str(tmp_path / "film.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), RATE_HZ, SIZE)
    for k in range(COUNT):
        picture = np.full((SIZE[1], SIZE[0], 3), 10 * k, np.uint8)
        picture[:, : SIZE[0] // 2] = (0, 0, 10 * k)
        writer.write(picture)
    writer.release()
    return path


def frames(watch, count, timeout_s=5.0):
    taken = []
    until = time.monotonic() + timeout_s
    while len(taken) < count and time.monotonic() < until:
        frame = watch.take(0.1)
        if frame is not None:
            taken.append(frame)
    return taken


@pytest.fixture
def watch_of():
    watches = []

    def made(driver):
        watches.append(Watch(driver))
        watches[-1].start()
        return watches[-1]

    yield made
    for watch in watches:
        watch.stop()


def test_a_video_plays_at_its_own_speed_with_honest_stamps_and_again_from_the_start(film, watch_of):
    watch = watch_of(video.Driver(film, SIZE, video.Options()))
    taken = frames(watch, COUNT + 5)
    stamps = np.array([frame.stamp_ns for frame in taken])
    periods = np.diff([frame.number for frame in taken])
    np.testing.assert_allclose(np.diff(stamps) / 1e9, periods / RATE_HZ, atol=1e-6)
    assert abs(taken[-1].stamp_ns - time.time_ns()) < 1e9
    assert watch.counts["connections"] == 1 and watch.why == ""


class SleptThrough(video.Driver):
    """The machine sleeps for ten pictures after the first."""

    slept = False

    def read(self):
        frame = super().read()
        if not self.slept:
            self.slept = True
            time.sleep(10 / RATE_HZ)
        return frame


def test_pictures_that_come_too_late_are_dropped_and_counted(film, watch_of):
    watch = watch_of(SleptThrough(film, SIZE, video.Options()))
    frames(watch, 5)
    assert watch.counts["dropped"] >= 5


def test_a_camera_that_vanishes_is_spoken_of_and_one_that_appears_is_found(
    film, tmp_path, watch_of
):
    gone = watch_of(video.Driver(film, SIZE, video.Options(loop=False)))
    assert len(frames(gone, 2 * COUNT, 1.5)) <= COUNT
    assert "has ended" in gone.why and gone.counts["losses"] == 1
    path = tmp_path / "later.avi"
    late = watch_of(video.Driver(str(path), SIZE, video.Options()))
    assert late.take(0.3) is None and "there is no video" in late.why
    shutil.copy(film, tmp_path / "copy.avi")
    (tmp_path / "copy.avi").rename(path)
    assert frames(late, 3) and late.why == "" and late.counts["connections"] == 1


def test_what_no_trying_again_mends_is_told_to_the_user(tmp_path, watch_of):
    (tmp_path / "notes.avi").write_text("no film")
    watch = watch_of(video.Driver(str(tmp_path / "notes.avi"), SIZE, video.Options()))
    with pytest.raises(XlvlaError, match="not a video"):
        frames(watch, 1)


def test_a_missing_video_device_is_named():
    with pytest.raises(LinkLost, match="there is no camera at /dev/video97"):
        v4l2.Driver("/dev/video97", SIZE, v4l2.Options()).connect()


def test_a_device_that_is_no_camera_is_refused(tmp_path):
    (tmp_path / "video0").write_text("")
    with pytest.raises(LinkLost, match="is no camera"):
        v4l2.Driver(str(tmp_path / "video0"), SIZE, v4l2.Options()).connect()


def test_a_realsense_camera_needs_its_package_and_a_camera():
    with pytest.raises(XlvlaError, match=r"pyrealsense2|there is no RealSense"):
        realsense.Driver("any", SIZE, realsense.Options()).connect()


def test_a_rig_chooses_a_camera_strictly():
    chosen = {
        "loop": False,
        "intrinsics": {"fx": 100, "fy": 100, "cx": 48, "cy": 27, "width": 96, "height": 54},
    }
    options = registry.options("camera", "video", chosen, "cameras.front.device.options")
    assert options.intrinsics == Intrinsics(100, 100, 48, 27, 96, 54)
    with pytest.raises(XlvlaError, match=r"lop.*did you mean 'loop'"):
        registry.options("camera", "video", {"lop": True}, "here")
    with pytest.raises(XlvlaError, match="did you mean 'v4l2'"):
        registry.options("camera", "v4l", {}, "here")


def test_a_picture_is_cropped_about_its_centre_and_its_colours_are_in_order():
    pixels = np.zeros((540, 960, 3), np.uint8)
    pixels[:, 120:480], pixels[:, 480:840] = (
        (0, 0, 200),
        (200, 0, 0),
    )  # what lies outside the crop is black
    picture = published(ImageFrame(0, pixels), (320, 240), CameraOptions())
    assert picture.shape == (240, 320, 3) and picture.flags.c_contiguous
    assert (picture[:, :159] == (200, 0, 0)).all() and (picture[:, 161:] == (0, 0, 200)).all()
    turned = published(ImageFrame(0, pixels), (320, 240), CameraOptions(upside_down=True))
    assert (turned[:, :159] == (0, 0, 200)).all()


def test_a_published_picture_has_the_field_of_view_of_a_simulated_one():
    rooms = pytest.importorskip("xlvla_sim.scene")
    from xlvla.rig import Camera

    for capture, publish in (
        ((960, 540), (320, 240)),
        ((640, 480), (320, 180)),
        ((640, 480), (640, 480)),
    ):
        camera = Camera((1.0, 0.0, 1.0), (0.0, 0.0, 0.0), 44.0, capture, publish)
        lens = published_intrinsics(capture, publish, CameraOptions(), None, camera.fovy_deg)
        assert np.degrees(2 * np.arctan(publish[1] / 2 / lens.fy)) == pytest.approx(
            rooms.published_fovy_deg(camera)
        )
        assert (lens.cx, lens.cy) == (publish[0] / 2, publish[1] / 2)


@pytest.mark.parametrize("upside_down", [False, True])
def test_a_point_is_where_the_intrinsics_say_after_cropping_shrinking_and_turning(upside_down):
    measured = Intrinsics(700, 690, 500, 250, 960, 540)
    u = 700 * 0.2 + 500  # of the direction (0.2, -0.1, 1)
    v = 690 * -0.1 + 250
    pixels = np.zeros((540, 960, 3), np.uint8)
    pixels[round(v) - 2 : round(v) + 3, round(u) - 2 : round(u) + 3] = 255
    options = CameraOptions(measured, upside_down)
    rows, columns = np.nonzero(published(ImageFrame(0, pixels), (320, 240), options)[..., 0] > 100)
    lens = published_intrinsics((960, 540), (320, 240), options, None, 45.0)
    turn = -1 if upside_down else 1
    assert columns.mean() + 0.5 == pytest.approx(lens.fx * 0.2 * turn + lens.cx, abs=1)
    assert rows.mean() + 0.5 == pytest.approx(lens.fy * -0.1 * turn + lens.cy, abs=1)


def test_intrinsics_of_another_size_are_refused():
    with pytest.raises(XlvlaError, match="intrinsics are for 640 x 480"):
        published_intrinsics(
            (960, 540),
            (320, 240),
            CameraOptions(Intrinsics(600, 600, 320, 240, 640, 480)),
            None,
            45.0,
        )


@pytest.mark.parametrize(("camera_hz", "published_hz"), [(20, 20), (30, 20), (60, 20), (15, 15)])
def test_pictures_are_published_at_the_wanted_rate_whatever_their_jitter(camera_hz, published_hz):
    rng = np.random.default_rng(0)
    pace = FrameSelector(20.0)
    stamps = np.arange(camera_hz * 10) / camera_hz + rng.uniform(0, 0.3 / camera_hz, camera_hz * 10)
    shown = sum(pace(round(1e9 * (1000 + stamp)), camera_hz) for stamp in stamps)
    assert shown == pytest.approx(published_hz * 10, abs=3)


def test_a_stamp_by_the_monotonic_clock_is_told_by_the_systems_and_nonsense_is_now():
    now = time.time_ns()
    assert system_time_ns(time.monotonic() - 0.5) == pytest.approx(now - 5e8, abs=1e8)
    assert system_time_ns(0.0) == pytest.approx(now, abs=1e8)
