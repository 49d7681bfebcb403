"""A page without a browser: what it shows for a store, and what its actions do."""

import json
from typing import Any

from llm_studio.store import Store
from llm_studio.ui.diff import INPUTS, components
from llm_studio.ui.page import Context, Event, Outcome, Page


class Tab:
    """One browser tab on one page: what it shows and what its actions do."""

    def __init__(self, store: Store, page: Page, *args: str, **query: str) -> None:
        self.page = page
        self.context = Context(store=store, home=store.home, route=page.route, args=args, query=query)

    def dumps(self) -> list[dict[str, Any]]:
        data = self.page.load(self.context, self.context.args)
        cards = list(self.page.cards(data))
        names = [card.name for card in cards]
        assert len(set(names)) == len(names)
        assert self.page.crumbs is None or self.page.crumbs(data)
        return [card.item.dump() for card in cards]

    def text(self) -> str:
        return json.dumps(self.dumps(), ensure_ascii=False)

    def inputs(self) -> dict[str, dict[str, Any]]:
        return {
            properties["name"]: properties
            for dump in self.dumps()
            for kind, properties in components(dump)
            if kind in INPUTS and kind != "table"
        }

    def act(self, name: str, value: Any = True, kind: str = "click") -> Outcome | None:
        head, _, argument = name.partition("/")
        return self.page.actions[head](self.context, self.context.args, Event(head, argument, value, kind))

    def choose(self, name: str, value: Any) -> None:
        self.context.draft[f"set/{name}"] = value
        self.act(f"set/{name}", value)


def shown(outcome: Outcome | None) -> str:
    """What an action opened: the components of its dialog or side panel."""
    assert outcome is not None
    overlay = outcome.dialog or outcome.panel
    assert overlay is not None
    return json.dumps([item.dump() for item in overlay.items], ensure_ascii=False)
