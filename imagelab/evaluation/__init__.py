"""Measuring any two sets of pictures, comparing values, and naming the stage of collapse of a run."""
