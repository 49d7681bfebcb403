"""The scripts that made the bundled backbone and sample data sets."""
