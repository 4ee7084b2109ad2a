"""A plain interpreter of TextWorld's base rules, to check makers of games by: it shares no code with the rules."""

from llm_envs.text.model.game import FIXED, PORTABLE, kind_of

SHUTTING = {"open": ("closed", "open"), "close": ("open", "closed")}
LOCKING = {"lock": ("closed", "locked"), "unlock": ("locked", "closed")}


class Player:
    """A game of theme "base" in play: what is admissible, what a command changes, quests and the end."""

    def __init__(self, game, facts=None, done=(), score=0):
        self.game, self.facts = game, set(game.facts if facts is None else facts)
        self.done, self.score, self.ending = set(done), score, ""

    def copy(self):
        return Player(self.game, self.facts, self.done, self.score)

    def of(self, name, *rest):
        """Return the last entry of facts that begin so."""
        return [fact[-1] for fact in self.facts if fact[:-1] == (name, *rest)]

    def commands(self):
        """Return the admissible commands, each with the facts it deletes and adds."""
        names = {key: thing.name for key, thing in self.game.things.items()}
        room = self.of("at", "P")[0]
        found = {"look": ((), ()), "inventory": ((), ())}
        for way in ("north", "south", "east", "west"):
            for fact in self.facts:
                if fact[0] == f"{way}_of" and fact[2] == room and ("free", room, fact[1]) in self.facts:
                    found[f"go {way}"] = ([("at", "P", room)], [("at", "P", fact[1])])
        fixed = [fact[1] for fact in self.facts if fact[0] == "at" and fact[2] == room and kind_of(fact[1]) in FIXED]
        doors = {fact[2] for fact in self.facts if fact[0] == "link" and fact[1] == room}
        opened = [thing for thing in fixed if kind_of(thing) == "s" or ("open", thing) in self.facts]
        held = [fact[1] for fact in self.facts if fact[0] == "in" and fact[2] == "I"]
        for fact in self.facts:
            if fact[0] in ("at", "on", "in") and kind_of(fact[1]) in PORTABLE and fact[2] in (room, *opened):
                place = "" if fact[2] == room else f" from {names[fact[2]]}"
                found[f"take {names[fact[1]]}{place}"] = ([fact], [("in", fact[1], "I")])
                found[f"examine {names[fact[1]]}"] = ((), ())
        for thing in (*fixed, *doors, *held):
            found[f"examine {names[thing]}"] = ((), ())
        for thing in held:
            gone = [("in", thing, "I")]
            found[f"drop {names[thing]}"] = (gone, [("at", thing, room)])
            for place in opened:
                verb, word, fact = ("put", "on", "on") if kind_of(place) == "s" else ("insert", "into", "in")
                found[f"{verb} {names[thing]} {word} {names[place]}"] = (gone, [(fact, thing, place)])
            if kind_of(thing) == "f":
                found[f"eat {names[thing]}"] = (gone, [("eaten", thing)])
        for thing in (*fixed, *doors):
            ways = [("free", fact[1], fact[3]) for fact in self.facts if fact[0] == "link" and fact[2] == thing]
            for verb, (old, new) in SHUTTING.items():
                if (old, thing) in self.facts:
                    delete, add = [(old, thing)], [(new, thing)]
                    found[f"{verb} {names[thing]}"] = (delete, add + ways) if new == "open" else (delete + ways, add)
            for verb, (old, new) in LOCKING.items():
                for key in held:
                    if (old, thing) in self.facts and ("match", key, thing) in self.facts:
                        found[f"{verb} {names[thing]} with {names[key]}"] = ([(old, thing)], [(new, thing)])
        return found

    def do(self, command):
        """Carry out a command, then go through the quests."""
        assert not self.ending
        delete, add = self.commands()[command]
        self.facts = self.facts - set(delete) | set(add)
        for k, quest in enumerate(self.game.quests):
            if k in self.done:
                continue
            if any(self.facts.issuperset(event) for event in quest.fail):
                self.ending = "lost"
                return self
            if any(self.facts.issuperset(event) for event in quest.win):
                self.done.add(k)
                self.score += quest.reward
        needed = {k for k, quest in enumerate(self.game.quests) if quest.win and not quest.optional}
        self.ending = "won" if needed <= self.done else ""
        return self


def play(game, commands):
    player = Player(game)
    for command in commands:
        player.do(command)
    return player


def check_facts(game):
    """Assert that the world is whole: ids exist, each thing is in one place, ways lead back."""
    ids = {"P", "I", *game.things}
    assert all(entry in ids for fact in game.facts for entry in fact[1:])
    assert len(set(game.facts)) == len(game.facts)
    places = [fact[1] for fact in game.facts if fact[0] in ("at", "on", "in")]
    assert sorted(places) == sorted(["P", *(thing.id for thing in game.of_kind(*PORTABLE, *FIXED))])
    names = [thing.name for thing in game.things.values()]
    assert len(set(names)) == len(names)
    facts = set(game.facts)
    back = {"north": "south", "south": "north", "east": "west", "west": "east"}
    for fact in facts:
        if fact[0].endswith("_of"):
            assert (f"{back[fact[0][:-3]]}_of", fact[2], fact[1]) in facts
        if fact[0] == "free":
            assert ("free", fact[2], fact[1]) in facts
    conditions = [fact for quest in game.quests for event in (*quest.win, *quest.fail) for fact in event]
    assert all(entry in ids for fact in conditions for entry in fact[1:])
    assert all(all(event) and event for quest in game.quests for event in (*quest.win, *quest.fail))
