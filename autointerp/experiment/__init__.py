"""The run, in order: study, context, stages, pipeline."""
