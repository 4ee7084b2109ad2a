"""GRPO in tokens per second: agents.GRPO / TRL's GRPOTrainer, same model size, prompts, group size and CPU thread.

    python benchmarks/peer_trl.py --side both --steps 8          needs the extras train and bench; no network

The task is Tokens/Copy-v0 with 64 tokens of vocabulary. All prompts have `completion_length` tokens, so that TRL pads
none, and the right answer has as many. The reward is the world's with weights exact 1 and match 1. An iteration samples
`group_size` completions of each of `prompts` prompts, scores them, and takes one AdamW step on all of them at once, in
float32 on one thread. Sampling is from the plain softmax, and a completion is over with <end> or at
`completion_length` tokens.

Unit: tokens that the policy generated, <end> included and padding not, per second of the whole iteration (generation,
rewards, reference, update); the median over `steps` iterations, after WARM_UP others. TRL's settings are the fastest
that were found for it: all completions in one batch, key/value cache, no checkpointing of activations, no logging, no
evaluation, no dropout, scaled_dot_product_attention, gelu in one kernel.
"""

import argparse
import os
import statistics
import tempfile
import time
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import datasets
import numpy as np
import torch
import transformers
from trl import GRPOConfig, GRPOTrainer

import llm_envs
from agents import GRPO
from llm_envs.adapters.sb3 import TensorVecEnv
from llm_envs.engine.batch import BatchEnv
from llm_envs.tokens.tasks import copy
from llm_envs.vocabulary import END

VOCABULARY = 64  # tokens: <pad>, <end>, "=" and 61 symbols
WARM_UP = 2  # iterations that are not measured
WEIGHTS = {"exact": 1.0, "match": 1.0}
LEARNING_RATE = 1e-4


def make_world(rows: int, completion_length: int) -> BatchEnv:
    """Return Copy with a different prompt in each row, of `completion_length` tokens as its answer is; restarted."""
    length, symbols = completion_length - 1, VOCABULARY - 3
    levels = np.random.default_rng(0).integers(0, symbols, (rows, length)).tolist()
    options: dict[str, Any] = {"length": length, "vocab_size": symbols, "levels": levels, "weights": WEIGHTS}
    batch = llm_envs.make_batch("Tokens/Copy-v0", rows, order="sweep", threads=1, **options)
    batch.reset_rows()
    return batch


def episode_reward(answer: list[int], solution: list[int]) -> float:
    """Return the sum of an episode's rewards: 1 if all is right, and 1/n for each right symbol in its place."""
    pairs = zip(answer, solution, strict=False)
    right = sum(said == due != END for said, due in pairs) / (len(solution) - 1)
    return WEIGHTS["exact"] * (answer == solution) + WEIGHTS["match"] * right


class Clock(transformers.TrainerCallback):
    """Counts tokens, as a reward function, and reads the clock after every iteration, as a callback."""

    def __init__(self) -> None:
        self.tokens, self.times = list[int](), list[float]()

    def reward(self, completion_ids: list[list[int]], solution: list[list[int]], **_: object) -> list[float]:
        """Return the completions' rewards, in TRL's interface."""
        self.tokens.append(sum(map(len, completion_ids)))
        return [episode_reward(*pair) for pair in zip(completion_ids, solution, strict=True)]

    def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
        """Note when the iteration was over."""
        self.times.append(time.perf_counter())

    def rate(self) -> float:
        """Return tokens per second, the median over iterations without the first WARM_UP."""
        seconds = np.diff(self.times)[WARM_UP - 1 :]
        return statistics.median(np.array(self.tokens[WARM_UP:]) / seconds)


def model_config(family: str, width: int, layers: int, heads: int, window: int) -> transformers.PretrainedConfig:
    """Return a configuration with 12 width^2 weights a layer, or as near as multiples of 16 come."""
    options: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": END, "eos_token_id": END, "pad_token_id": 0}
    if family == "llama":
        options |= {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
        options |= {"intermediate_size": round(width / 6) * 16, "max_position_embeddings": window}
        return transformers.LlamaConfig(**options)
    options |= {"n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": window}
    # GPT-2's own approximation of gelu is eight separate operations.
    dropout: dict[str, Any] = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    return transformers.GPT2Config(**options, **dropout, activation_function="gelu")


def make_trainer(
    width: int,
    layers: int,
    heads: int,
    prompts: int,
    group_size: int,
    completion_length: int,
    steps: int,
    beta: float,
    family: str,
    folder: str,
) -> tuple[GRPOTrainer, Clock]:
    """Return a trainer, whose model is saved in `folder`, and the clock that it runs by."""
    batch, clock = make_world(prompts * (WARM_UP + steps), completion_length), Clock()
    tokens, lengths = (batch.arrays.obs[name] for name in ("tokens", "length"))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=batch.world.tokenizer, pad_token="<pad>", eos_token="<end>", padding_side="left"
    )
    rows = [
        {
            "prompt": batch.world.tokenizer.decode(tokens[i, : int(lengths[i, 0])].tolist()),
            "solution": copy.solution(batch.row(i)),
        }
        for i in range(batch.num_envs)
    ]
    torch.manual_seed(0)
    config = model_config(family, width, layers, heads, 2 * completion_length)
    # With a KL term TRL reads the reference from the folder that the model came from.
    transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True
    )
    arguments = GRPOConfig(
        output_dir=folder,
        max_steps=WARM_UP + steps,
        per_device_train_batch_size=prompts * group_size,
        num_generations=group_size,
        max_completion_length=completion_length,
        num_iterations=1,
        beta=beta,
        loss_type="grpo",
        learning_rate=LEARNING_RATE,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )
    trainer = GRPOTrainer(
        model,
        clock.reward,
        args=arguments,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[clock],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer, clock


def trl(
    width: int,
    layers: int,
    heads: int,
    prompts: int,
    group_size: int,
    completion_length: int,
    steps: int,
    beta: float = 0.0,
    family: str = "gpt2",
) -> float:
    """Return the tokens per second of TRL's GRPOTrainer; `beta` is the weight of the KL to the initial model."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = (width, layers, heads, prompts, group_size, completion_length, steps)
        trainer, clock = make_trainer(*sizes, beta, family, folder)
        trainer.train()
    return clock.rate()


def ours(
    width: int,
    layers: int,
    heads: int,
    prompts: int,
    group_size: int,
    completion_length: int,
    steps: int,
    beta: float = 0.0,
) -> float:
    """Return the tokens per second of agents.GRPO on `make_world`."""
    length, symbols, rows = completion_length - 1, VOCABULARY - 3, prompts * group_size
    levels = np.random.default_rng(0).integers(0, symbols, (prompts * (WARM_UP + steps), length)).tolist()
    env = TensorVecEnv(
        "Tokens/Copy-v0",
        rows,
        group_size=group_size,
        threads=1,
        length=length,
        vocab_size=symbols,
        levels=levels,
        weights=WEIGHTS,
    )
    model = GRPO(
        "TransformerPolicy",
        env,
        batch_size=rows * completion_length,
        learning_rate=LEARNING_RATE,
        kl={"coefficient": beta, "estimator": "k3"} if beta else None,
        device="cpu",
        seed=0,
        policy_kwargs={
            "backbone": {"width": width, "layers": layers, "heads": heads},
            "optimizer_class": torch.optim.AdamW,
        },
    )
    rates = []
    for _ in range(WARM_UP + steps):
        start = time.perf_counter()
        model.learn(1, reset_num_timesteps=False)
        tokens = int((~model.rollout_buffer.tensors["unused"]).sum())  # type: ignore[attr-defined]
        rates.append(tokens / (time.perf_counter() - start))
    return statistics.median(rates[WARM_UP:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", choices=("trl", "ours", "both"), default="both")
    sizes = {"width": 256, "layers": 4, "heads": 4, "prompts": 8, "group_size": 8, "completion_length": 32, "steps": 8}
    for name, value in sizes.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    parser.add_argument("--beta", type=float, nargs="+", default=[0.0, 0.04], help="weights of the KL term")
    parser.add_argument("--family", choices=("gpt2", "llama"), default="gpt2", help="of TRL's model")
    given = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    chosen = {name: getattr(given, name) for name in sizes}
    for name, value in chosen.items():
        if value < 1:
            parser.error(f"{name} is {value}; it must be at least 1")
    print(", ".join(f"{name} {value}" for name, value in chosen.items()))
    for beta in given.beta:
        found = {}
        if given.side != "ours":
            found["trl"] = trl(**chosen, beta=beta, family=given.family)
            print(f"beta {beta}: TRL, {given.family} {found['trl']:,.0f} tokens/s", flush=True)
        if given.side != "trl":
            found["ours"] = ours(**chosen, beta=beta)
            print(f"beta {beta}: agents.GRPO {found['ours']:,.0f} tokens/s", flush=True)
        if len(found) == 2:
            print(f"beta {beta}: ratio {found['ours'] / found['trl']:.2f}", flush=True)


if __name__ == "__main__":
    main()
