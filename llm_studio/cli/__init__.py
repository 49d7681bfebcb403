"""The command line, `llm-studio`; each command imports what it needs when it runs."""
