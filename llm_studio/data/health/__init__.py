"""Looks at a data set for what would spoil an experiment: findings with rows, reasons and the step that cures each."""
