"""From a maker's description of a hand to an entry and two URDFs that all of xlvla can use."""
