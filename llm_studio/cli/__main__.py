"""`python -m llm_studio.cli`: the same as `llm-studio`."""

import sys

from llm_studio.cli.main import main

sys.exit(main())
