"""The two themes and the zones of the one layout; how they look is in `static/studio.css`."""

from h2o_wave import ui

LIGHT, DARK = "studio-light", "studio-dark"


def themes() -> list[ui.Theme]:
    """White and near-black, with one accent. Contrast of text and accent on card and page is at least 4.5:1."""
    return [
        ui.theme(name=LIGHT, primary="#1d5fd1", text="#1b1f27", card="#ffffff", page="#f5f6f8"),
        ui.theme(name=DARK, primary="#7aa7ff", text="#e6e9ef", card="#16191f", page="#0e1014"),
    ]


def name_of(theme: str) -> str:
    """The Wave name of the remembered theme, "light" or "dark"."""
    return DARK if theme == "dark" else LIGHT


def layouts() -> list[ui.Layout]:
    """One layout for every width: the style sheet folds it, so that no card can vanish at some width."""
    content = [
        ui.zone("notices"),
        ui.zone("top"),
        ui.zone("columns", direction=ui.ZoneDirection.ROW, zones=[ui.zone("main"), ui.zone("side")]),
        ui.zone("grid", direction=ui.ZoneDirection.ROW),
        ui.zone("wide"),
    ]
    frame = [
        ui.zone("nav"),
        ui.zone("frame", zones=[ui.zone("header", direction=ui.ZoneDirection.ROW), ui.zone("content", zones=content)]),
    ]
    body = ui.zone("body", direction=ui.ZoneDirection.ROW, zones=frame)
    return [ui.layout(breakpoint="xs", width="100%", zones=[body, ui.zone("marker")])]
