"""The run directory: its tables, reading and writing them, provenance."""
