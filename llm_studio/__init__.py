"""LLM Studio: a browser-based, no-code studio for fine-tuning language models."""

__version__ = "0.1.0"
