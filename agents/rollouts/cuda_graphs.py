"""A rollout step as one CUDA graph: reading, sampling, the world's rules and the next observation, launched at once.

A step whose rows all read one token has the same shapes and the same memory each time; only how far attention looks
grows, so there is one graph for each BUCKET of positions. Steps in which rows begin anew are launched one by one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from agents.policies.decoding import Reader
from llm_envs.adapters.sb3 import TensorVecEnv

BUCKET = 64  # positions
WARM_UP = 3  # steps before a capture, in which libraries allocate their workspaces


class Acted(NamedTuple):
    """What a step leaves for the buffer; under a graph the tensors are overwritten by its next replay."""

    obs: dict[str, Tensor]  # acted on, (N, ...)
    actions: Tensor
    values: Tensor  # (N, 1)
    log_probs: Tensor  # (N,)
    step: Any  # llm_envs.engine.host_view.Step, live


def possible(policy_device: torch.device, env_device: torch.device) -> bool:
    """Say whether policy and environment can share a graph: both on one GPU."""
    return policy_device.type == env_device.type == "cuda" and (policy_device.index or 0) == (env_device.index or 0)


class StepGraphs:
    """Graphs of `act(reach) -> Acted`, one a bucket of positions.

    Args:
        act: one step, in which no row is late, attending to positions below `reach`; it changes environment, reader
            and torch's generator in place and waits for nothing.
        env: which it steps.
        reader: which it reads with.
    """

    def __init__(self, act: Callable[[int], Acted], env: TensorVecEnv, reader: Reader) -> None:
        self.act, self.env, self.reader = act, env, reader
        self.graphs: dict[int, tuple[Any, Acted]] = {}

    def __call__(self, reach: int) -> Acted:
        """Take one step."""
        bucket = min(-(-reach // BUCKET) * BUCKET, self.reader.trunk.window)
        if bucket not in self.graphs:
            restore = self.save()
            self.warm_up(bucket)
            restore()
            self.graphs[bucket] = self.capture(bucket)
        graph, acted = self.graphs[bucket]
        graph.replay()
        return acted

    def save(self) -> Callable[[], None]:
        """Return what undoes the steps taken from now on."""
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
        """Take steps on another stream, as a capture must find everything compiled and allocated."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.act(bucket)
        torch.cuda.current_stream().wait_stream(stream)

    def capture(self, bucket: int) -> tuple[Any, Acted]:
        """Return a graph of one step, and where its replays leave their results."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            acted = self.act(bucket)
        return graph, acted
