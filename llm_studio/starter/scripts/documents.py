"""Composes what the starter backbone is trained on: copying first, then the little world in chat form.

A document is a list of pieces; a piece is text and whether the model learns it. Text that the model could only guess (a
random word list at its first mention) is read but not learned, so that the loss speaks of what can be known.
None of these documents uses the answer formats of the sample data sets.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from llm_studio.starter.scripts import strangers, world

USER, ASSISTANT, SYSTEM, END = "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"
WORDS = (
    *world.NAMES,
    *world.CITIES,
    *world.ITEMS,
    *world.COLOURS,
    *world.DAYS,
    *world.JOBS,
    *world.ANIMALS,
    *world.ROOMS,
)


KEYS = tuple(
    "size shape team number age room price name kind code country month colour item city day customer quantity".split()
)
EVERYDAY = tuple(
    "a about after all also am and answer are as ask at away back be because been before best better big but "
    "by call can card come could dear did do does done down each ever every far favourite few find first for "
    "friend from gets give glad go good great happy has have he hello help her here him his home hope how I if "
    "in into is it its job just keep kind kindly know large last later leave left less let letter life like "
    "little live long look lot love made make many may me mean meet more most much must my near need never new "
    "next nice no not note now of off often old on once one only open or other our out over own please put "
    "question quite read real regards right said same say says see send she should show side small so some "
    "soon still story such sure take tell than thank that the their them then there these they thing think "
    "this those time to today together too true try two under until up us use very wait want was way we week "
    "well went were what when where which while who why will wish with word work works would write year yes "
    "yet you your".split()
)


@dataclass(frozen=True)
class Piece:
    """Text of a document, and whether the model learns it."""

    text: str
    learned: bool


Document = list[Piece]


def token(rng: random.Random) -> str:
    """One thing to copy: a word of the world, a number, a price, a code or a made-up word."""
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(WORDS)
    if kind < 0.66:
        return str(rng.randint(0, 9999))
    if kind < 0.72:
        return f"{rng.randint(1, 99)}.{rng.randint(0, 99):02d}"
    return strangers.nonsense(rng) if kind < 0.88 else strangers.name(rng)


def few(rng: random.Random, most: int) -> int:
    """A count from 1 to `most`, half of the time a small one: a short list has to end in time too."""
    return rng.randint(1, min(4, most)) if rng.random() < 0.5 else rng.randint(1, most)


def chat(user: str, answer: str, learn_user: bool = False) -> Document:
    """One exchange; the answer and the end of turn are learned."""
    return [Piece(USER, False), Piece(user, learn_user), Piece(END + ASSISTANT, False), Piece(answer + END, True)]


JOINERS = (" ", ", ", "; ", " - ", " / ", "\n", " and ", ": ")


def repeat(rng: random.Random, size: int) -> Document:
    """A list, then the same list again."""
    joiner = rng.choice(JOINERS)
    text = joiner.join(token(rng) for _ in range(few(rng, max(2, size // 3))))
    if rng.random() < 0.5:
        return chat(rng.choice(("Repeat: ", "Say: ", "Copy this: ", "Once more: ")) + text, text)
    return [Piece(text, False), Piece(rng.choice(("\nAgain: ", " | ", "\n")), False), Piece(text + END, True)]


def rewritten_list(rng: random.Random, size: int) -> Document:
    """A list, then the same list with another joiner, or in reverse."""
    words = [token(rng) for _ in range(rng.randint(2, max(3, size // 4)))]
    one, other = rng.sample(JOINERS, 2)
    names = {
        " ": "spaces",
        ", ": "commas",
        "; ": "semicolons",
        " - ": "dashes",
        " / ": "slashes",
        "\n": "lines",
        " and ": "and",
        ": ": "colons",
    }
    if rng.random() < 0.3 and len(words) < 6:
        return chat(f"Backwards: {one.join(words)}", one.join(reversed(words)))
    return chat(f"With {names[other]}: {one.join(words)}", other.join(words))


def recall(rng: random.Random, size: int) -> Document:
    """Keys and values, then some of the keys again, each to be answered with its value."""
    count = rng.randint(1, max(2, size // 6))
    keys = list(dict.fromkeys(token(rng) for _ in range(count)))
    values = {key: " ".join(token(rng) for _ in range(rng.choice((1, 1, 1, 2)))) for key in keys}
    link, stop = rng.choice((": ", " = ", " is ", " -> ")), rng.choice((". ", "; ", "\n", ", "))
    pieces = [Piece(stop.join(f"{key}{link}{values[key]}" for key in keys) + "\n", False)]
    asked = rng.sample(keys, len(keys))
    for key in asked:
        pieces += [Piece(f"{key}{link}", False), Piece(values[key] + stop, True)]
    return pieces


LABELS = {
    "customer": ("who", "buyer", "name", "person"),
    "city": ("where", "place", "town"),
    "quantity": ("how many", "number", "count"),
    "colour": ("which colour", "paint", "shade"),
    "item": ("what", "thing", "object"),
    "day": ("when", "date", "time"),
}


def order_fields(rng: random.Random, size: int) -> Document:
    """An order, and some of its values asked for by changing labels in changing order."""
    order = strangers.order(rng)
    fields = rng.sample(list(LABELS), rng.randint(1, 6))
    joiner, link = rng.choice((("\n", ": "), ("; ", " = "), (", ", " "), (" | ", ": ")))
    labels = [rng.choice(LABELS[field]) for field in fields]
    answer = joiner.join(f"{label}{link}{getattr(order, field)}" for label, field in zip(labels, fields, strict=True))
    if rng.random() < 0.3:
        answer = joiner.join(str(getattr(order, field)) for field in fields)
    return chat(f"{world.order_sentence(rng, order)} Tell: {', '.join(labels)}.", answer)


def order_again(rng: random.Random, size: int) -> Document:
    """An order in one wording, then in another."""
    order = strangers.order(rng)
    first, second = rng.sample(world.ORDER_SENTENCES, 2)
    return chat(f"{first(order)} In other words?", second(order))


def story_question(rng: random.Random, size: int) -> Document:
    """A story and one to four questions with short answers."""
    told = strangers.story(rng, 1 if size < 96 else None)
    pieces: Document = [Piece(USER, False), Piece(told.text, rng.random() < 0.3)]
    for index in range(rng.randint(1, 4)):
        text, short, _ = world.question(rng, told)
        pieces += [Piece((" " if index == 0 else USER) + text + END + ASSISTANT, False), Piece(short + "." + END, True)]
    return pieces


def small_talk(rng: random.Random, size: int) -> Document:
    """An order, a note or a story without a question; the model answers with a sentence about it."""
    kind = rng.random()
    if kind < 0.4:
        order = world.order(rng)
        return chat(
            world.order_sentence(rng, order),
            rng.choice(
                (
                    f"That is nice. {order.customer} gets many {world.plural(order.item)}.",
                    f"I like {order.city}.",
                    f"{order.day} is a good day for {order.customer}.",
                )
            ),
        )
    if kind < 0.7:
        note = world.note(rng)
        return chat(
            note.plain, rng.choice((f"{note.receiver} likes the {note.room}.", f"The {note.item} is {note.colour}."))
        )
    told = world.story(rng, 1 if size < 96 else 2)
    person, _ = rng.choice(told.told)
    return chat(
        told.text, rng.choice((f"What a good story about {person.name}.", f"{person.name} is my friend.")), True
    )


def plain_story(rng: random.Random, size: int) -> Document:
    """A story as plain text, all of it learned."""
    return [Piece(world.story(rng, 1 if size < 96 else None).text + END, True)]


def record(rng: random.Random) -> str:
    """A JSON record of a few random keys; only ever repeated or asked for, never made from a sentence."""
    keys = list(
        dict.fromkeys(strangers.nonsense(rng).lower() if rng.random() < 0.3 else rng.choice(KEYS) for _ in range(5))
    )
    fields = []
    for key in rng.sample(keys, rng.randint(1, len(keys))):
        value = str(rng.randint(0, 999)) if rng.random() < 0.3 else f'"{token(rng)}"'
        fields.append(f'"{key}":{value}')
    return "{" + ",".join(fields) + "}"


def repeat_record(rng: random.Random, size: int) -> Document:
    """A record, then the same record."""
    text = record(rng)
    return chat(rng.choice(("Repeat: ", "Copy this: ", "Once more: ")) + text, text)


def sentence(rng: random.Random) -> str:
    """Some everyday words in no order, with the punctuation of a letter."""
    words = [rng.choice(EVERYDAY) for _ in range(rng.randint(3, 14))]
    for _ in range(rng.randint(0, 3)):
        words.insert(rng.randint(1, len(words)), token(rng) + rng.choice(("", ",", ".", "?", ":")))
    return " ".join(words) + rng.choice((".", "?", "", ","))


def repeat_sentence(rng: random.Random, size: int) -> Document:
    """Everyday words, then the same words."""
    text = sentence(rng)
    return chat(rng.choice(("Repeat: ", "Say: ", "Once more: ")) + text, text)


GREETINGS: dict[str, str] = {
    "Hello.": "Hello, it is good to see you.",
    "Hi!": "Hello, it is good to see you.",
    "Good morning.": "Good morning to you too.",
    "How are you?": "I am well, thank you.",
    "Who are you?": "I am a small model of a little world.",
    "What can you do?": "I can read a story and answer a question about it.",
    "Thank you.": "You are welcome.",
}


def greeting(rng: random.Random, size: int) -> Document:
    """A greeting and its answer, or the wish for a story and a story."""
    if rng.random() < 0.5:
        return chat(rng.choice(("Tell me a story.", "A story, please.")), world.story(rng, 1).text)
    asked = rng.choice(list(GREETINGS))
    return chat(asked, GREETINGS[asked])


def system_chat(rng: random.Random, size: int) -> Document:
    """A rule in the system message, and an answer that follows it."""
    word, text = token(rng), token(rng)
    pieces = [Piece(f"{SYSTEM}Always end with {word}.{END}", False)]
    return pieces + chat(f"Repeat: {text}", f"{text} {word}")


COPY: tuple[tuple[Callable[[random.Random, int], Document], float], ...] = (
    (repeat, 0.3),
    (repeat_record, 0.15),
    (repeat_sentence, 0.15),
    (recall, 0.25),
    (rewritten_list, 0.15),
)
MIXED: tuple[tuple[Callable[[random.Random, int], Document], float], ...] = (
    (repeat, 0.12),
    (repeat_record, 0.06),
    (repeat_sentence, 0.08),
    (recall, 0.1),
    (rewritten_list, 0.06),
    (order_fields, 0.15),
    (order_again, 0.08),
    (story_question, 0.24),
    (small_talk, 0.04),
    (plain_story, 0.02),
    (greeting, 0.03),
    (system_chat, 0.02),
)


def document(rng: random.Random, size: int, copy_share: float) -> Document:
    """A document of roughly `size` tokens; `copy_share` of them are pure copying."""
    family = COPY if rng.random() < copy_share else MIXED
    make = rng.choices([make for make, _ in family], [weight for _, weight in family])[0]
    return make(rng, size)
