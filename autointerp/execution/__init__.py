"""Execution engines: this process, processes of this machine, a Ray cluster, a Slurm array.

A member defines `Config` and `run(config, job, items) -> Iterator[Receipt]`; see `base`.
"""
