"""`python -m xlvla` where no script is on the path, as for torchrun: the command line of
`xlvla_cli`.
"""

import runpy

# By name: the command line stands on this package, not the other way round.
runpy.run_module("xlvla_cli", run_name="__main__", alter_sys=True)
