"""A rollout step as one CUDA graph: reading, sampling, the world's rules and the next observation, launched at once.

A step in which every row reads one token has the same shapes and the same memory each time; only the number of cached
positions that attention covers grows, so there is one graph for each BUCKET of positions. Steps in which rows restart
have data-dependent shapes, and their kernels are launched one by one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from agents.policies.decoding import Reader
from llm_envs.adapters.sb3 import TensorVecEnv

BUCKET = 64  # positions
WARM_UP = 3  # steps before a capture, in which libraries allocate their workspaces


class RolloutStep(NamedTuple):
    """The results of one step of N rows; those of a graph are overwritten by its next replay."""

    obs: dict[str, Tensor]  # acted on, (N, ...) each
    actions: Tensor  # (N, ...)
    values: Tensor  # (N, 1)
    log_probs: Tensor  # (N,)
    step: Any  # llm_envs.engine.host_view.Step, views of the batch's buffers


def supported(policy_device: torch.device, env_device: torch.device) -> bool:
    """Return whether policy and environment can share a graph: both are on the same GPU."""
    return policy_device.type == env_device.type == "cuda" and (policy_device.index or 0) == (env_device.index or 0)


class StepGraphs:
    """Graphs of `act(max_position) -> RolloutStep`, one a bucket of positions.

    Args:
        act: takes one step without pending tokens, attending to positions below `max_position`; it changes the
            environment, the reader and torch's generator in place, and never waits for the device.
        env: the environment that it steps.
        reader: the reader that it reads with.
    """

    def __init__(self, act: Callable[[int], RolloutStep], env: TensorVecEnv, reader: Reader) -> None:
        self.act, self.env, self.reader = act, env, reader
        self.graphs: dict[int, tuple[Any, RolloutStep]] = {}

    def __call__(self, max_position: int) -> RolloutStep:
        """Take one step; `max_position` is an exclusive bound of the rows' positions."""
        # Rounded up: a few more masked columns cost less than a graph for every length.
        bucket = min(-(-max_position // BUCKET) * BUCKET, self.reader.trunk.window)
        if bucket not in self.graphs:
            restore = self.save()  # the warm-up steps must leave no trace
            self.warm_up(bucket)
            restore()
            self.graphs[bucket] = self.capture(bucket)
        graph, acted = self.graphs[bucket]
        graph.replay()
        return acted

    def save(self) -> Callable[[], None]:
        """Return a function that restores environment, reader and generator as they are now."""
        batch, device = self.env.batch, self.reader.policy.device
        saved, restore_reader, cuda = batch.save_buffers(), self.reader.save(), device.type == "cuda"
        generator = torch.cuda.get_rng_state(device) if cuda else torch.get_rng_state()

        def restore() -> None:
            batch.load_buffers(saved)
            restore_reader()
            if cuda:
                torch.cuda.set_rng_state(generator, device)
            else:
                torch.set_rng_state(generator)

        return restore

    def warm_up(self, bucket: int) -> None:
        """Take steps on another stream: a capture must find everything compiled and allocated."""
        # Captures run on a side stream; warming up there lets libraries make their per-stream workspaces.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.act(bucket)
        torch.cuda.current_stream().wait_stream(stream)

    def capture(self, bucket: int) -> tuple[Any, RolloutStep]:
        """Return a graph of one step, and the tensors that its replays write to."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            acted = self.act(bucket)
        return graph, acted
