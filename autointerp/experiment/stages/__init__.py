"""The stages of an experiment, one file each, in order.

Each is a function `run(experiment)`: it reads the tables of earlier stages, writes its own into the run directory, and
returns counts for the manifest.
"""
