"""What leaves a run: datasets, generations with their provenance, citations."""
