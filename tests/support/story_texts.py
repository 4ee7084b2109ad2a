"""Stories that tests read: the one of the format's page in docs, and a small one."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "stories.md").read_text()
EXAMPLE = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
SMALL = """\
start: hall
rooms:
  hall:
    exits: {north: study}
    contents: [chest, apple]
  study:
things:
  chest: {is: container, state: locked, key: old key, contents: [ring]}
  old key: key
  apple: food
  ring:
hands: [old key]
quests:
- win: ring in hands
"""


def change(old, new, text=SMALL):
    assert text.count(old) == 1
    return text.replace(old, new)
