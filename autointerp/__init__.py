"""Measure how interpretable the latents of sparse autoencoders and transcoders are."""

__version__ = "0.1.0"
