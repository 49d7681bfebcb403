"""Training speed on a GPU: `python -m tests.benchmarks.gpu`; needs the repository, not an installation."""
