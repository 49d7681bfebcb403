"""The page of a new experiment as a browser tab has it, without a browser."""

from typing import Any

from llm_studio.store import Store
from llm_studio.ui.diff import INPUTS, components
from llm_studio.ui.page import Context, Event, Outcome
from llm_studio.ui.pages import new


class Tab:
    """A browser tab that holds every field it was shown, and sends all of them with every submission."""

    def __init__(self, store: Store, *args: str, draft: dict[str, Any] | None = None, **query: str) -> None:
        self.context = Context(
            store=store, home=store.home, route="new", args=args, query=query, draft={} if draft is None else draft
        )
        self.show()

    def show(self) -> None:
        """Draw the page, as the router does after everything that happened."""
        self.data = new.load(self.context, self.context.args)
        self.cards = {card.name: card.item.dump() for card in new.cards(self.data)}
        self.parts = {
            part["name"]: part for dump in self.cards.values() for _, part in components(dump) if part.get("name")
        }
        named = [part["name"] for dump in self.cards.values() for _, part in components(dump) if part.get("name")]
        assert len(named) == len(set(named)), sorted(name for name in named if named.count(name) > 1)

    def press(self, name: str, **fields: Any) -> Outcome | None:
        """Use a component while other fields hold something else; `fields` by path, "__" for a dot."""
        held = {
            part["name"]: part.get("value")
            for dump in self.cards.values()
            for kind, part in components(dump)
            if kind in INPUTS and part.get("value") is not None
        }
        self.context.draft.update(held)
        self.context.draft.update({f"cfg/{path.replace('__', '.')}": value for path, value in fields.items()})
        head, _, argument = name.partition("/")
        try:
            return new.PAGE.actions[head](self.context, self.context.args, Event(head, argument, True))
        finally:
            if head != "start":
                self.show()

    def enter(self, path: str, value: Any) -> None:
        """Change one field."""
        self.press(f"cfg/{path}", **{path.replace(".", "__"): value})

    def choose(self, name: str, value: str) -> None:
        """Use a field of the bar."""
        self.context.draft[name] = value
        if name in new.PAGE.actions:
            new.PAGE.actions[name](self.context, self.context.args, Event(name, value=value))
        self.show()

    def field(self, path: str) -> dict[str, Any]:
        return self.parts[f"cfg/{path}"]

    def visible(self) -> set[str]:
        """Paths of the settings that can be seen."""
        return {
            name.removeprefix("cfg/")
            for name, part in self.parts.items()
            if name.startswith("cfg/") and part.get("visible", True)
        }

    @property
    def values(self) -> dict[str, Any]:
        assert self.data.chosen is not None
        return dict(self.data.chosen.form.values)

    @property
    def changed(self) -> set[str]:
        assert self.data.chosen is not None
        return set(self.data.chosen.form.entered)
