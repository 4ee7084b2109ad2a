"""Draw the picture in the README: three worlds side by side, each played by its own solution, as an animated GIF."""

from pathlib import Path

import numpy as np
import tyro
from PIL import Image

import llm_envs

WORLDS = [
    ("Nav/FourRooms-v0", {"size": 13}, 3, 1.0),
    ("Text/KeyQuest-v0", {"locks": 1, "rooms": 4, "pool": 8, "action": "index"}, 3, 1.0),
    ("Tokens/Copy-v0", {"task": "sort", "length": 12}, 5, 0.7),
]  # id, options, seed, share of the picture's width that is shown
HEIGHT, GAP = 300, 8  # pixels
FRAMES = 24


def frames(world_id: str, config: dict, seed: int, share: float) -> list[Image.Image]:
    """Return a world's pictures, one a step of its solution, all of HEIGHT pixels."""
    batch = llm_envs.make_batch(world_id, 1, seed=seed, split="all", autoreset="never", **config)
    batch.reset_rows()
    pictures = [batch.frame(0)]
    for action in batch.world.solution(batch.row(0)):  # type: ignore[misc]
        batch.step_rows(np.array([action]))
        pictures.append(batch.frame(0))
    width = round(HEIGHT * pictures[0].shape[1] / pictures[0].shape[0])
    resized = [Image.fromarray(picture).resize((width, HEIGHT), Image.Resampling.LANCZOS) for picture in pictures]
    return [one.crop((0, 0, round(share * width), HEIGHT)) for one in resized]


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    """Return the pictures in one row."""
    whole = Image.new("RGB", (sum(one.width + GAP for one in pictures) - GAP, HEIGHT), "white")
    left = 0
    for one in pictures:
        whole.paste(one, (left, 0))
        left += one.width + GAP
    return whole


def main(out: Path = Path("docs/guide/pictures/worlds.gif")) -> None:
    """Write the animation to `out`; worlds that are solved sooner wait for the others."""
    films = [frames(*world) for world in WORLDS]
    length = min(max(map(len, films)), FRAMES)
    whole = [side_by_side([film[min(k, len(film) - 1)] for film in films]) for k in range(length)]
    # One palette for all: by the colours that occur, not by how often, or the agent's few pixels lose theirs.
    palette = whole[length // 2].quantize(64, Image.Quantize.MAXCOVERAGE)
    small = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in whole]
    small[0].save(out, save_all=True, append_images=small[1:], duration=[500] * (length - 1) + [3000], loop=0)
    print(f"{out}: {length} frames of {whole[0].width} x {HEIGHT} pixels, {out.stat().st_size // 1024} kB")


if __name__ == "__main__":
    tyro.cli(main)
