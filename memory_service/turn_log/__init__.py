"""All SQL of the project: the turn log, which is the truth that everything else derives from."""
