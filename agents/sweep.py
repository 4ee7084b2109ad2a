"""The command `python -m agents.sweep`; `agents.jobs.search` has it."""

from agents.jobs.search import main, sweep

__all__ = ["main", "sweep"]

if __name__ == "__main__":
    main()
