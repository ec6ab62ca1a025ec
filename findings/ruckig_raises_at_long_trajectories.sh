#!/bin/sh
# ruckig raises a ValueError where a trajectory of several joints takes longer than 7600 s (ruckig 0.19.4, Python).
#
# Expected: `Ruckig.calculate` returns a `Result` for every input that `validate_input` accepts, one of its errors where it finds
#   no trajectory.
# So: its Python `Result` lacks the library's -101 (the trajectory is too long), so that "-101 is not a valid Result" is raised:
#   a ValueError, which is no RuckigError. One joint alone gets its trajectory, however long. A control loop that lowers limits
#   of speed near an obstacle and catches RuckigError alone ends there.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'ruckig==0.19.4'
cat > "$folder/look.py" <<'PYTHON'
from ruckig import InputParameter, Ruckig, Trajectory


def outcome(joints, speed):
    """Of joints that move by 1 rad, the first of them no faster than `speed`."""
    problem = InputParameter(joints)
    problem.target_position = [1.0] * joints
    problem.max_velocity = [speed] + [1.0] * (joints - 1)
    problem.max_acceleration = [20.0] * joints
    problem.max_jerk = [200.0] * joints
    planner = Ruckig(joints)
    assert planner.validate_input(problem)
    try:
        return str(planner.calculate(problem, Trajectory(joints)))
    except ValueError as error:
        return f"ValueError: {error}"


for seconds in (7500.0, 7700.0):
    for joints in (1, 2):
        print(f"{joints} joints, {seconds:.0f} s: {outcome(joints, 1 / seconds)}")
assert outcome(1, 1 / 7700) == "Result.Working"
assert outcome(2, 1 / 7500) == "Result.Working"
assert "not a valid Result" in outcome(2, 1 / 7700), "this finding is out of date"
print("as found")
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
