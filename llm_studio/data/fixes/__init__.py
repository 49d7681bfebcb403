"""Fixes of a data set as recorded steps: rows left out and texts edited as they are read, never the file itself."""
