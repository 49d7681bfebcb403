"""A training in a process of its own, to be killed: prints [step, loss] after every step."""

import json
import sys
from pathlib import Path

from llm_studio.config import from_yaml
from llm_studio.modeling.loading import quiet
from llm_studio.training.events import Event, StepDone
from tests.support.tiny import trainer_of


def tell(event: Event) -> None:
    if isinstance(event, StepDone):
        print(json.dumps([event.step, event.loss]), flush=True)


quiet()
folder = Path(sys.argv[1])
trainer_of(from_yaml((folder / "config.yaml").read_text()).config, folder / "resume", listen=tell).run()
