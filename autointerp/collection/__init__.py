"""One pass of the subject over the corpus: activations, shards, the sample of latents."""
