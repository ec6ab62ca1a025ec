"""Runs in services that compare them, with the real packages where they are installed."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from dataclasses import replace

import pytest

from xlvla.errors import XlvlaError
from xlvla_policy.training import run, state, tracker, validation
from xlvla_policy.training.choice import Choice
from xlvla_policy.training.loop import Progress
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.training.tracker import SERVICES, Tracker

QUICK = Recipe(steps=10, minutes=None, batch=4, warm_up=2)
ERRORS = validation.Errors(0.2, (0.1, 0.2), (0.01, 0.02), (0.03, 0.04), 0.05, (0.8, 3.2))

each_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder that both services write to, and nowhere else; both read their environment once."""
    folder = tmp_path_factory.mktemp("services")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_DIR", str(folder))
        patch.setenv("WANDB_SILENT", "true")
        patch.delenv("WANDB_PROJECT", raising=False)
        patch.setenv("TRACKIO_DIR", str(folder / "trackio"))
        patch.delenv("TRACKIO_PROJECT", raising=False)
        yield folder


def progress(step):
    return Progress(step, 0.1 * step, step / 40, 1 / step, 1e-3, 0.5, 0.1)


def wandb_records(content):
    """The records of a file of wandb: 7 bytes, then blocks of 32 KiB of LevelDB's log format, in
    which a record is whole (type 1) or in parts, the last of them of type 4.
    """
    place = 7
    record = b""
    while place < len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, part = struct.unpack_from("<IHB", content, place)
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if part in (1, 4):
            yield record
            record = b""


def losses(service, name, here, curve="training/loss"):
    """(step, value) of a curve, as the service kept it."""
    if service == "trackio":
        from trackio.sqlite_storage import SQLiteStorage

        assert SQLiteStorage.get_runs(tracker.PROJECT).count(name) == 1
        rows = SQLiteStorage.get_logs(tracker.PROJECT, name)
        return [(row["step"], row[curve]) for row in rows if curve in row]
    from wandb.proto import wandb_internal_pb2 as proto

    points = []
    # Each part of a run that is offline has a folder of its own with the run's id.
    for path in sorted(here.glob(f"wandb/offline-run-*-{name}/*.wandb")):
        for content in wandb_records(path.read_bytes()):
            record = proto.Record()
            record.ParseFromString(content)
            row = {}
            for item in record.history.item:
                row["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
            if curve in row:
                points.append((row["_step"], row[curve]))
    return points


@each_service
def test_a_killed_run_that_is_resumed_has_every_point_once(service, here):
    package = pytest.importorskip(service)
    name = tracker.new_name("p")
    killed = Tracker(service, name, {"steps": 40}, print)
    for step in range(1, 31):
        killed.step(progress(step), 8)
        if step == 20:
            killed.validation(step, ERRORS)
            killed.saved()
    # The service sees its end; what came after the state was saved is lost.
    package.finish()
    resumed = Tracker(service, name, {"steps": 40}, print)
    for step in range(21, 41):
        resumed.step(progress(step), 8)
    resumed.close()
    points = losses(service, name, here)
    assert [step for step, _ in points] == [10, 20, 30, 40]
    assert points[2][1] == pytest.approx(1 / 30)
    assert losses(service, name, here, "validation/wrist m far") == [(20, pytest.approx(0.02))]


@each_service
def test_a_training_and_its_continuation_are_one_run(service, here, stored, tmp_path):
    pytest.importorskip(service)
    out = tmp_path / "p.safetensors"
    choice = Choice((str(stored[0].data.root),), preset="tiny", threads=1, log=(service,))
    run.train(choice, out, QUICK)
    name = state.name_of(out.with_suffix(".state"))
    run.train(replace(choice, resume=True), out, replace(QUICK, steps=20))
    assert [step for step, _ in losses(service, name, here)] == [10, 20]
    assert [step for step, _ in losses(service, name, here, "validation/loss")] == [10, 20]


@each_service
def test_a_service_that_fails_ends_its_curves_and_not_the_training(service, here):
    package = pytest.importorskip(service)
    said = []
    failing = Tracker(service, tracker.new_name("p"), {}, said.append)
    package.finish()
    failing.step(progress(10), 8)
    failing.saved()
    failing.step(progress(20), 8)
    failing.close()
    assert len(said) == 1
    assert said[0].startswith(f"{service} failed: ") and "goes on without it" in said[0]


def test_a_service_that_does_not_take_the_run_ends_it_before_it_begins(tmp_path):
    pytest.importorskip("wandb")
    script = "from xlvla_policy.training.tracker import Tracker\nTracker('wandb', 'p-1', {}, print)"
    # Nobody is logged in, and nobody there who could answer.
    environment = {**os.environ, "HOME": str(tmp_path), "WANDB_BASE_URL": "http://127.0.0.1:1"}
    for key in ("WANDB_MODE", "WANDB_API_KEY"):
        environment.pop(key, None)
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env=environment,
        cwd=tmp_path,
    )
    assert "XlvlaError: wandb failed: " in done.stderr
    assert done.stderr.strip().endswith("; train without --log wandb")


def test_a_run_keeps_its_name_when_it_is_resumed(tmp_path, stored):
    out = tmp_path / "p.safetensors"
    choice = Choice((str(stored[0].data.root),), preset="tiny", threads=1, held_out=0.0)
    run.train(choice, out, QUICK)
    name = state.name_of(out.with_suffix(".state"))
    assert name.startswith("p-")
    run.train(replace(choice, resume=True), out, replace(QUICK, steps=12))
    assert state.name_of(out.with_suffix(".state")) == name
    run.train(replace(choice, fresh=True), out, QUICK)
    assert state.name_of(out.with_suffix(".state")) != name


@each_service
def test_a_service_whose_package_is_missing_is_named_before_data_are_read(
    service, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, service, None)
    choice = Choice((str(tmp_path / "no data"),), log=(service,))
    with pytest.raises(XlvlaError, match=rf"pip install 'xlvla\[{service}\]'"):
        run.train(choice, tmp_path / "p.safetensors", QUICK)


def test_an_unknown_service_is_refused(tmp_path):
    with pytest.raises(XlvlaError, match=r"known are trackio, wandb; did you mean 'trackio'"):
        run.train(Choice((str(tmp_path),), log=("trakio",)), tmp_path / "p.safetensors", QUICK)
