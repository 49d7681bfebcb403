"""One file per row layout; each turns a row into messages and guesses whether a table has its layout."""
