"""Token generation, text games and navigation as fast, exact Gymnasium environments.

Importing this package is light: worlds, numba and torch are imported when something is made.
"""

import os

from llm_envs.registration import ids, make_batch, register, register_envs

__version__ = "0.1.0"
__all__ = ["__version__", "ids", "make_batch", "register", "register_envs"]

# Threads of OpenMP, which are torch's, sleep while they wait, unless the user has said how they wait. Spinning they
# would take the cores from a batch's threads, and beside any other process wait for each other. OpenMP reads this once,
# when it is loaded.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

register_envs()
