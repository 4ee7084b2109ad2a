"""How large a game may be: the limits of the largest compiled level, and those of names, texts and rewards."""

# A compiled game holds numbers of rooms, things and locks in bytes, and a bit for each quest in a 64-bit word.
LARGEST = {"rooms": 128, "fixed": 64, "portables": 64, "doors": 64, "quests": 64, "events": 512, "conditions": 1024}
LARGEST_REWARD = 1000  # of a quest, either sign
LONGEST_TEXT = 16_000  # characters of a description
LONGEST_NAME = 100  # characters
MOST_FACTS, MOST_SYNONYMS = 10_000, 16  # of a game, of a thing; a game as large as a level can be has about 3,000 facts
