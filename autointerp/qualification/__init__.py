"""Qualification of explainer and judge on planted rules, before any latent is explained."""
