"""Training of the cross-encoder judge (`autointerp.llm.cross_encoder`) on rules whose truth is known."""
