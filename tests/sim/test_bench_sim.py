from xlvla_cli.bench.sim import memory, simulation_speed


def test_memory_stays_what_it_is_over_resets(rig_with):
    reset_s, more = memory(rig_with("xhand"), 60)
    assert more < 4 and 0 < reset_s < 1


def test_an_experts_pace_is_measured(rig_with):
    found = simulation_speed(rig_with("xhand"), 1, render=False)
    assert found.times_real > 0.5 and found.per_minute > 1
