"""The command `python -m agents.train`; `agents.jobs.job` has it."""

from agents.jobs.job import main, train

__all__ = ["main", "train"]

if __name__ == "__main__":
    main()
