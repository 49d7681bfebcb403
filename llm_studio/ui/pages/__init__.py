"""Every page of the studio: one line each."""

from llm_studio.ui.page import Page
from llm_studio.ui.pages import (
    chat,
    compare,
    dataset,
    datasets,
    experiment,
    experiments,
    home,
    import_,
    new,
    settings,
)

PAGES: tuple[Page, ...] = (
    home.PAGE,
    datasets.PAGE,
    import_.PAGE,
    dataset.PAGE,
    new.PAGE,
    experiments.PAGE,
    experiment.PAGE,
    compare.PAGE,
    chat.PAGE,
    settings.PAGE,
)
