"""Which rows are learned from and which are held out: groups that stay together, layers, and how that is kept."""
