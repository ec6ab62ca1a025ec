"""The command line, its benches, evaluation and the operator's station: the roof over all other
packages.
"""
