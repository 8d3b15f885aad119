"""Training of the cross-encoder judge (`autointerp.llm.cross_encoder`) on rules with known truth."""
