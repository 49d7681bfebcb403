"""Composes the little world: people, places and things, told as orders, stories and notes in simple English."""

import random
from collections.abc import Callable
from dataclasses import dataclass

NAMES = tuple(
    "Ada Alma Amir Anna Anton Aria Asha Ben Bella Boris Cara Carl Chen Clara Dana David Dora Elias Ella "
    "Emma Eric Esra Eva Fatima Felix Finn Gita Grace Hana Hugo Ida Igor Ines Iris Ivan Jana Jonas Julia "
    "Kai Karim Kim Kofi Lara Lea Leo Lina Luca Lucy Maja Marco Maria Max Mia Mila Milo Mona Nadia Nico "
    "Nina Noah Nora Oleg Olga Omar Oscar Paul Pia Priya Rita Robin Rosa Ruth Sami Sara Sofia Sven Tara "
    "Theo Tom Uma Vera Victor Wanda Yara Yuki Zoe".split()
)
CITIES = tuple(
    "Accra Athens Berlin Bern Bogota Cairo Cork Dakar Delhi Dublin Geneva Ghent Hanoi Kyoto Lagos Lima "
    "Lisbon London Lyon Madrid Milan Nairobi Oslo Paris Porto Prague Quito Riga Rome Seoul Tallinn Tokyo "
    "Turin Vienna Warsaw Zagreb".split()
)
ITEMS = tuple(
    "apple bag ball basket bell blanket book bottle bowl box brush cake candle cap chair clock coat cup "
    "desk drum flag flute hat jar kite knife lamp map mirror mug notebook pen pillow plate pot ring rug "
    "scarf shirt spoon table towel umbrella vase wallet watch".split()
)
COLOURS = tuple("black blue brown golden green grey orange pink purple red silver white yellow".split())
DAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
JOBS = tuple(
    "baker builder carpenter clerk cook dentist doctor driver farmer gardener judge lawyer nurse painter "
    "pilot singer tailor teacher waiter writer".split()
)
ANIMALS = tuple("bird cat cow dog donkey duck fox frog goat goose hen horse mouse owl pig rabbit sheep turtle".split())
ROOMS = tuple("attic cellar garden garage hall kitchen library office shed".split())


def plural(item: str) -> str:
    """The plural of a thing of this world."""
    if item == "knife":
        return "knives"
    return item + ("es" if item.endswith(("x", "s", "ch", "sh")) else "s")


def article(word: str) -> str:
    """The word with "a" or "an" in front."""
    return ("an " if word[0] in "aeio" or word == "umbrella" else "a ") + word


def number(rng: random.Random) -> int:
    """A quantity from 2 to 999, small ones more often."""
    return rng.choice((rng.randint(2, 20), rng.randint(2, 99), rng.randint(10, 999)))


@dataclass(frozen=True)
class Order:
    """One order: who, from where, how many of what in which colour, on which day."""

    customer: str
    city: str
    quantity: int
    colour: str
    item: str
    day: str

    @property
    def goods(self) -> str:
        return f"{self.quantity} {self.colour} {plural(self.item)}"


def order(rng: random.Random) -> Order:
    """A random order."""
    return Order(
        rng.choice(NAMES), rng.choice(CITIES), number(rng), rng.choice(COLOURS), rng.choice(ITEMS), rng.choice(DAYS)
    )


ORDER_SENTENCES: tuple[Callable[[Order], str], ...] = (
    lambda o: f"{o.customer} from {o.city} orders {o.goods} for {o.day}.",
    lambda o: f"On {o.day} we send {o.goods} to {o.customer} in {o.city}.",
    lambda o: f"Hello, this is {o.customer}. I live in {o.city} and I need {o.goods} by {o.day}.",
    lambda o: f"Please bring {o.goods} to {o.city} on {o.day}. My name is {o.customer}.",
    lambda o: f"{o.goods[0].upper() + o.goods[1:]} for {o.customer}, {o.city}, {o.day}.",
    lambda o: f"{o.customer} lives in {o.city}. {o.customer} wants {o.goods}. The day is {o.day}.",
)


def order_sentence(rng: random.Random, o: Order) -> str:
    """The order in one of several wordings; each holds all six values."""
    return rng.choice(ORDER_SENTENCES)(o)


@dataclass(frozen=True)
class Person:
    """Somebody in a story."""

    name: str
    job: str
    city: str
    colour: str
    item: str
    animal: str


def people(rng: random.Random, count: int) -> tuple[Person, ...]:
    """`count` people who share no name, city, item or animal."""
    names, cities = rng.sample(NAMES, count), rng.sample(CITIES, count)
    items, animals, jobs = rng.sample(ITEMS, count), rng.sample(ANIMALS, count), rng.sample(JOBS, count)
    return tuple(Person(names[i], jobs[i], cities[i], rng.choice(COLOURS), items[i], animals[i]) for i in range(count))


def facts(rng: random.Random, person: Person) -> list[tuple[str, str]]:
    """Three or four sentences about a person, each with the key of what it tells."""
    told = [
        ("job", f"{person.name} is {article(person.job)}."),
        ("city", rng.choice((f"{person.name} lives in {person.city}.", f"{person.name} comes from {person.city}."))),
        ("item", f"{person.name} has {article(person.colour)} {person.item}."),
        ("animal", f"{person.name} likes the {person.animal}."),
    ]
    rng.shuffle(told)
    return told[: rng.randint(3, 4)]


@dataclass(frozen=True)
class Story:
    """A short story and what it tells: (person, key) pairs that can be asked."""

    text: str
    told: tuple[tuple[Person, str], ...]


def story(rng: random.Random, count: int | None = None) -> Story:
    """A story about one to three people."""
    cast = people(rng, count or rng.randint(1, 3))
    lines = [(person, key, line) for person in cast for key, line in facts(rng, person)]
    if rng.random() < 0.5:
        rng.shuffle(lines)
    return Story(" ".join(line for _, _, line in lines), tuple((person, key) for person, key, _ in lines))


QUESTIONS: dict[str, Callable[[Person], tuple[str, str, str]]] = {
    "job": lambda p: (f"What is {p.name}'s job?", p.job, f"{p.name} works as {article(p.job)}."),
    "city": lambda p: (f"Where is {p.name} at home?", p.city, f"{p.name} is at home in {p.city}."),
    "item": lambda p: (f"What does {p.name} own?", f"{p.colour} {p.item}", f"{p.name} owns the {p.colour} {p.item}."),
    "animal": lambda p: (
        f"Which animal does {p.name} like?",
        p.animal,
        f"{p.name}'s favourite animal is the {p.animal}.",
    ),
}


def question(rng: random.Random, told: Story) -> tuple[str, str, str]:
    """A question that the story answers, its short answer and its answer as a full sentence."""
    person, key = rng.choice(told.told)
    return QUESTIONS[key](person)


@dataclass(frozen=True)
class Note:
    """A plain note: who asks whom to do what with a thing, where and when."""

    sender: str
    receiver: str
    verb: str
    colour: str
    item: str
    room: str
    day: str

    @property
    def plain(self) -> str:
        thing = f"the {self.colour} {self.item}"
        return f"{self.receiver}, {self.verb} {thing} in the {self.room} on {self.day}. {self.sender}"

    @property
    def polite(self) -> str:
        return (
            f"Dear {self.receiver}, would you be so kind as to {self.verb} the {self.colour} {self.item} in the "
            f"{self.room} on {self.day}? Thank you very much. Kind regards, {self.sender}"
        )


VERBS = tuple("clean find fix leave move paint put sell show use wash wrap".split())


def note(rng: random.Random) -> Note:
    """A random note between two different people."""
    sender, receiver = rng.sample(NAMES, 2)
    return Note(
        sender, receiver, rng.choice(VERBS), rng.choice(COLOURS), rng.choice(ITEMS), rng.choice(ROOMS), rng.choice(DAYS)
    )
