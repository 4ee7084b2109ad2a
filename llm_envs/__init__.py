"""Token generation, text games and navigation as fast, exact Gymnasium environments.

Importing this package is light: worlds, numba and torch are imported when something is made.
"""

from llm_envs.registration import ids, make_batch, register, register_envs

__version__ = "0.1.0"
__all__ = ["__version__", "ids", "make_batch", "register", "register_envs"]

register_envs()
