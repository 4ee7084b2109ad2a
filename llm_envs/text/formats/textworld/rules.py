"""Which rules a TextWorld file brings along, and whether they are those that this library plays."""

import hashlib
import re

from llm_envs.validation import quote

SHOWN = 12  # names of rules that an error lists
GO = "go/north go/south go/east go/west look inventory"
COIN = f"{GO} take drop examine/I examine/t"
LOCKS = " ".join(f"{verb}/{kind}" for verb in ("open", "close", "lock", "unlock") for kind in ("c", "d"))
HOUSE = f"{COIN} {LOCKS} take/c take/s insert put eat examine/c examine/s"
HEAT = " ".join(
    f"cook/{heat}/{way}"
    for heat in ("oven", "stove", "toaster")
    for way in ("burned", "cooked/raw", "cooked/needs_cooking")
)
MEAL = " ".join(f"make/recipe/{parts}" for parts in range(1, 6))
COOKING = f"{HOUSE} {HEAT} {MEAL} drink slice dice chop"

# Theme -> names of the rules, and the start of the SHA-256 of their texts, see `digest`: textworld 1.6.2 and 1.7.0.
KNOWN = {
    "coin": (COIN, "3a270293b748bfd1"),
    "base": (f"{HOUSE} examine/d", "d84a20dabb73fda5"),
    "cooking": (COOKING, "ad0849ad86b507a8"),
    "cooking-drop": (COOKING, "62990049d6605fb1"),
}


def find_rules(logic: str) -> dict[str, str]:
    """Return the rules in a text of TextWorld's logic language: name -> its text without white space."""
    rules = {}
    for statement in re.sub(r"#[^\n]*", "", logic).split(";"):
        name, _, rule = re.split(r"[{}]", statement)[-1].partition("::")
        if "->" in rule and '"' not in rule and not rule.rstrip().endswith("fail()"):
            rules["".join(name.split())] = "".join(rule.split())
    return rules


def _few(names: list[str]) -> str:
    """Return names, which a stranger wrote, for a message."""
    listed = ", ".join(quote(name)[1:-1] for name in names[:SHOWN])
    return f"{listed} and {len(names) - SHOWN} more" if len(names) > SHOWN else listed


def digest(rules: dict[str, str]) -> str:
    """Return a short checksum of rules, whatever their order."""
    text = "\n".join(f"{name}:{rules[name]}" for name in sorted(rules))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def find_theme(logic: str) -> str:
    """Return the theme whose rules these are.

    Raises:
        ValueError: says which rules are unknown, missing or not as they should be.
    """
    rules = find_rules(logic)
    if "make/recipe/1" in rules:
        theme = "cooking-drop" if "(slot)" in rules.get("take", "") else "cooking"
    else:
        theme = "base" if "open/c" in rules else "coin"
    names, checksum = KNOWN[theme]
    unknown, missing = sorted(set(rules) - set(names.split())), sorted(set(names.split()) - set(rules))
    if unknown or missing:
        lists = [f"{what} {_few(some)}" for what, some in (("unknown:", unknown), ("missing:", missing)) if some]
        raise ValueError(f"the rules are not those of theme {theme!r}; {'; '.join(lists)}")
    if digest(rules) != checksum:
        raise ValueError(f"the rules have the names of theme {theme!r}, but they are not those of TextWorld 1.7")
    return theme
