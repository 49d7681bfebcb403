"""The measured figures of the README, each printed by `make bench`."""
