"""Pass or fail a checkpoint against a baseline run."""
