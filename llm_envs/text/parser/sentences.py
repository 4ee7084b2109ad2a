"""Reads a command as one of the sentences of its verb: which things it names, and which nouns were inferred.

This follows the parser of Inform 7 (6M62; Nelson, "Parser Template", chapters on noun phrases and adjudication), as
games of TextWorld have it: the sentences of a verb are tried in order, each noun takes as many words as it can, and
of several things that it may mean the likeliest is taken, if there is one; else the player is asked.
"""

from llm_envs.text.parser import grammar
from llm_envs.text.parser.lexicon import FLOOR, HANDS, WAY_0, Scene

DONE, STUCK, ONLY, NO_CREATURE, UNSEEN, NOT_SEVERAL, WHICH, INCOMPLETE = 0, 1, 2, 4, 5, 8, 20, 21  # higher ones prevail
# Kinds of nouns that may name more than one thing.
SEVERAL = (grammar.THINGS, grammar.CARRIED, grammar.OTHERS, grammar.INSIDE)
TEXT_READ = -3  # stands for a text among things
MANY = -4  # stands for several things
ALL_WAYS = [WAY_0 + k for k in range(len(grammar.WAYS))]
CUTTING = ("slice", "dice", "chop")


class Reading:
    """One command, sentence by sentence."""

    def __init__(self, words: list[str], text: str, scene: Scene) -> None:
        self.words, self.text, self.scene = words, text, scene
        self.best, self.several = STUCK, False  # the worst that was wrong, and whether several things could be named
        self.strategy, self.others = 0, list[int]()  # how likely things are compared, see `_likely`
        self.only: list[int | str] = []  # what was understood before words were left over
        self.choices: list[int] = []  # of an ambiguous noun

    def read(self, sentence: grammar.Sentence) -> int:
        """Try a sentence; return DONE, or what is wrong. WHICH and INCOMPLETE end the matter."""
        words, tokens = self.words, sentence.tokens
        last = tokens[-1] if tokens else ()
        # A sentence that ends in a preposition ("turn THING on") fits only what ends in it; "turn" is not completed so.
        if isinstance(last, tuple) and tokens and (len(words) == 1 or words[-1] not in last):
            return STUCK
        self.sentence, self.things, self.pattern = sentence, list[int](), list[int | str]()
        self.second: int | None = None
        self.assumed = -1
        # Inform's tokens multiexcept and multiinside: the first noun depends on the second.
        if sentence.ahead and not self._look_ahead():
            return STUCK
        self.at = 1
        for self.place, token in enumerate(tokens):
            wrong = self._preposition(token) if isinstance(token, tuple) else self._noun(token)
            if wrong:
                return wrong
        if self.at < len(words):
            # A whole sentence, and then more words: "I only understood you as far as ...".
            self.only = self.pattern
            return ONLY
        return DONE

    def _preposition(self, choices: tuple[str, ...]) -> int:
        if self.at < len(self.words):
            if self.words[self.at] not in choices:
                return STUCK
            self.pattern.append(self.words[self.at])
            self.at += 1
            return DONE
        if self.assumed < 0:
            # A preposition is filled in only on the way to a noun that is inferred.
            if len(self.things) >= self.sentence.things:
                return STUCK
            self.assumed = len(self.pattern)
        self.pattern.append(choices[0])
        return DONE

    def _look_ahead(self) -> bool:
        """Find the second thing, since the first is one in it, or is not it; False: the sentence cannot fit."""
        choices, words, last, at = self.sentence.ahead, self.words, len(self.words) - 1, 1
        # The second noun begins after the first preposition that this sentence has.
        while at < last and words[at] not in grammar.PREPOSITIONS:
            at += 1
        if at >= last:
            return True
        while words[at] not in choices:
            at += 1
            while at < last - 1 and words[at] not in grammar.PREPOSITIONS:
                at += 1
            if at > last or words[at] not in grammar.PREPOSITIONS:
                return False
        self.place, self.at = 2, min(at + 1, last)
        self._articles()
        # Any kind of thing: what it must be is checked when its own turn comes.
        found = self._things(grammar.THING)
        if found:
            chosen = found[0] if len(found) == 1 else self._choose(grammar.THING, found)
            self.second = chosen if chosen >= 0 else found[0]
        return True

    def _noun(self, kind: int) -> int:
        if kind == grammar.TEXT:
            return self._any_words()
        many, several = False, kind in SEVERAL
        while True:
            thing, wrong = self._thing(kind)
            if wrong:
                return wrong
            if self.at >= len(self.words) or self.words[self.at] not in grammar.AND:
                break
            # "and" after a noun that must be one thing: refused, unless an earlier sentence would take several.
            if not several and not self.several:
                return NOT_SEVERAL
            if not several:
                break
            many, self.at = True, self.at + 1
        # The rules carry out a command on one thing, so several need not be told apart.
        self.things.append(MANY if many else thing)
        self.pattern.append(self.things[-1])
        return DONE

    def _any_words(self) -> int:
        tokens, place, end = self.sentence.tokens, self.place + 1, self.at
        before = tokens[place] if place < len(tokens) else ()
        while end < len(self.words) and not (isinstance(before, tuple) and self.words[end] in before):
            end += 1
        if end == self.at or (before and end == len(self.words)):
            return STUCK
        self.at = end
        self.things.append(TEXT_READ)
        return DONE

    def _articles(self) -> None:
        """Skip the words before a noun: after "a", any thing that it may mean will do; after "all", every one is."""
        self.any, self.every, self.skipped = False, False, False
        while self.at < len(self.words):
            word = self.words[self.at]
            if word in grammar.ARTICLES:
                self.any, self.skipped = self.any or grammar.ARTICLES[word], True
            elif word in grammar.EVERYTHING:
                self.any = self.every = True
            else:
                break
            self.at += 1
            if self.at < len(self.words) and self.words[self.at] == "of":
                self.at += 1

    def _thing(self, kind: int) -> tuple[int, int]:
        """Read one noun; return the thing and what is wrong, if anything."""
        start = self.at
        self._articles()
        every = self.every
        thing, wrong = self._one(kind)
        # Without the article nothing is called so: it may be part of the name, so try again with it.
        if self.skipped and (wrong == UNSEEN or (not wrong and self.length == 0 and kind != grammar.HELD)):
            self.at, self.any, self.every = start, False, False
            thing, wrong = self._one(kind)
        if not wrong and kind == grammar.CREATURE:
            wrong = NO_CREATURE
        # Once several things could have been named, "one thing only" is no longer what is wrong.
        if kind in SEVERAL:
            self.best, self.several = STUCK if self.best == NOT_SEVERAL else self.best, True
        elif wrong == UNSEEN and every and not self.several:
            wrong = NOT_SEVERAL
        return thing, wrong

    def _one(self, kind: int) -> tuple[int, int]:
        words, start = self.words, self.at
        found = self._things(kind)
        if not found:
            return MANY, UNSEEN if start < len(words) else INCOMPLETE
        self.at += self.length
        if start < len(words):
            if len(found) == 1 and self.length:
                return found[0], DONE
            # Words left over after the last noun belong to its name, so no thing in sight has it.
            is_last = self.place + 1 == len(self.sentence.tokens)
            if is_last and self.at < len(words) and words[self.at] not in grammar.AND:
                return MANY, UNSEEN
        chosen = self._choose(kind, found)
        if chosen >= 0:
            if self.assumed < 0:
                self.assumed = len(self.pattern)
            return chosen, DONE
        if self.every:
            return MANY, DONE if kind in SEVERAL else UNSEEN
        self.choices = found
        return MANY, WHICH if start < len(words) else INCOMPLETE

    def _things(self, kind: int) -> list[int]:
        """Return the things in sight that the most words name, and put that number into `length`."""
        scene, words, self.length = self.scene, self.words, 0
        inside = self.second if kind == grammar.INSIDE and self.second is not None else None
        best: list[int] = []
        if self.at < len(words):
            for thing in scene.named(words[self.at]):
                if thing >= WAY_0:
                    # "a north" is no direction, and none can be held, alive or inside something.
                    if self.any or kind in (grammar.HELD, grammar.CREATURE) or inside is not None:
                        continue
                else:
                    owner = scene.owner(thing) if kind != grammar.WAY else None
                    if owner is None or (inside is not None and owner != inside):
                        continue
                # The longest match wins: "red key" is not the red door, though "red" fits both.
                length = scene.span(thing, words, self.at)
                if length > self.length:
                    best, self.length = [thing], length
                elif length == self.length:
                    best.append(thing)
        # No words are left, or "all": everything in sight is a candidate.
        if self.at >= len(words) or (not best and self.every):
            best = [thing for thing in scene.order() if inside is None or scene.owner(thing) == inside]
            ways = [] if self.any or kind in (grammar.HELD, grammar.CREATURE) or inside is not None else ALL_WAYS
            return [*best, *ways] if kind != grammar.WAY else ALL_WAYS
        if len(best) > 1:
            # In the order of the interpreter's scope, directions first: thing - 2 * WAY_0 is negative.
            order = scene.order()
            best.sort(key=lambda thing: order.index(thing) if thing < WAY_0 else thing - 2 * WAY_0)
        return best

    def _choose(self, kind: int, found: list[int]) -> int:
        """Return the likeliest of several things, or -1."""
        if kind == grammar.CREATURE:
            return found[0]
        # Inform's adjudication: one thing of the kind asked for is it; else the highest score, if no other has it.
        good = [self._is_good(kind, thing) for thing in found]
        if sum(good) == 1:
            return found[good.index(True)]
        if self.every:
            return -1
        scores = [1000 * is_good + self._score(thing) for is_good, thing in zip(good, found, strict=True)]
        best = max(scores)
        return found[scores.index(best)] if self.any or scores.count(best) == 1 else -1

    def _is_good(self, kind: int, thing: int) -> bool:
        """Return whether a thing is what a kind of noun asks for."""
        owner = self.scene.owner(thing) if thing < WAY_0 else None
        if kind in (grammar.HELD, grammar.CARRIED):
            return owner == HANDS
        if kind == grammar.THINGS:
            return thing < WAY_0
        if kind == grammar.OTHERS:
            return thing != self.second
        if kind == grammar.INSIDE:
            return owner != HANDS if self.second is None else owner == self.second
        return False

    def _score(self, thing: int) -> int:
        owner = self.scene.owner(thing) if thing < WAY_0 else None
        taking = self.sentence.action in ("take", "remove")
        # SCORE__BESTLOC and SCORE__NEXTBESTLOC of the template; 20 is SCORE__NOTCOMPASS, of all else but directions.
        near = {HANDS: 40 if taking else 60, FLOOR: 60 if taking else 40, None: 0}.get(owner, 20)
        return near + 1000 * self._likely(thing)

    def _likely(self, thing: int) -> int:
        """Return how likely a thing is meant, 0 to 4: as the first noun, with what the words after it may mean."""
        if self.strategy == 0:
            self._set_strategy()
        if self.things or (self.sentence.ahead and self.place > 1):
            return self._meant(self.things[0] if self.things else None, thing)
        if self.strategy == 1:
            return max((self._meant(thing, other) for other in self.others), default=0)
        return self._meant(thing, self.second)

    def _set_strategy(self) -> None:
        tokens, place = self.sentence.tokens, self.place + 1
        while place < len(tokens) and isinstance(tokens[place], tuple):
            place += 1
        kind, self.strategy = tokens[place] if place < len(tokens) else grammar.TEXT, 2
        if kind == grammar.TEXT or isinstance(kind, tuple):
            return
        # Reading ahead must not move the place where this noun is read.
        saved = self.at, self.any, self.every, self.skipped, self.length
        while self.at < len(self.words) and (
            self.words[self.at] in grammar.PREPOSITIONS or self.words[self.at] in grammar.EVERYTHING
        ):
            self.at += 1
        if self.at < len(self.words):
            self.strategy = 1
            self._articles()
            self.others = self._things(kind)
        self.at, self.any, self.every, self.skipped, self.length = saved

    def _meant(self, x: int | None, y: int | None) -> int:
        """Return how likely an action with these things is meant: 2 where nothing speaks for or against it."""
        action, scene = self.sentence.action, self.scene
        lexicon = scene.lexicon
        # Inform's scale of "does the player mean": 0 very unlikely, 2 possible, 3 likely, 4 very likely.
        held = scene.owner(y) == HANDS if y is not None and 0 <= y < WAY_0 else False
        if MANY in (x, y):
            return 2
        if held and (action == "cook" or (action in CUTTING and y not in lexicon.blades)):
            return 0
        if action == "take" and x is not None and 0 <= x < WAY_0 and scene.owner(x) == HANDS:
            return 0
        # TextWorld's own rule: things whose whole printed names were typed are the likelier ones.
        named = [thing != TEXT_READ and lexicon.name(thing) in self.text for thing in (x, y) if thing is not None]
        return 2 if not all(named) else 2 + len(named)
