"""The command line, `llm-studio`; each command imports what it needs when it runs.

Exit codes: 0 done, 1 the experiment failed, 2 bad input; what / where / fix go to standard error.
"""

from llm_studio.cli.main import main

__all__ = ["main"]
