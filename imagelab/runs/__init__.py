"""Carrying out one experiment: preparing its folder, recording its environment, training on one machine or several."""
