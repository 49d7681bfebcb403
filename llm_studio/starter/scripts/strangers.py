"""Words and names from outside the little world, so that copying does not end at its border."""

import random
import re
from dataclasses import replace

from llm_studio.starter.scripts import world

LETTERS = "abcdefghijklmnopqrstuvwxyz"
CONSONANTS = tuple("b c d f g h j k l m n p r s t v w z br ch dr fr gl kr pl sh st th tr".split())
ENDINGS = ("", "", "", "l", "m", "n", "r", "s", "t", "nd", "rt")


def nonsense(rng: random.Random) -> str:
    """A made-up word of 3 to 9 letters, in one of three cases."""
    word = "".join(rng.choice(LETTERS) for _ in range(rng.randint(3, 9)))
    return rng.choice((word, word, word.capitalize(), word.upper()))


def name(rng: random.Random) -> str:
    """A name from outside the world that can be spoken, such as "Dorvalin"."""
    parts = [rng.choice(CONSONANTS) + rng.choice("aeiou") + rng.choice(ENDINGS) for _ in range(rng.randint(1, 3))]
    return "".join(parts).capitalize()


def order(rng: random.Random) -> world.Order:
    """An order; now and then its name, city or thing is one that the world does not know."""
    made = world.order(rng)
    if rng.random() < 0.3:
        made = replace(made, customer=name(rng))
    if rng.random() < 0.2:
        made = replace(made, city=name(rng))
    return replace(made, item=name(rng).lower()) if rng.random() < 0.15 else made


def story(rng: random.Random, count: int | None) -> world.Story:
    """A story; a quarter of its people have names that the world does not know."""
    told = world.story(rng, count)
    text, names = told.text, {person.name: person.name for person, _ in told.told}
    for known in names:
        if rng.random() < 0.25:
            names[known] = name(rng)
            text = re.sub(rf"\b{known}\b", names[known], text)
    return world.Story(text, tuple((replace(person, name=names[person.name]), key) for person, key in told.told))
