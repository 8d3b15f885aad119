"""Columns and types of the tables that describe single latents: logits, neighbours, contexts, histograms."""

# Optional. One row per sampled latent and token: the tokens with the logits that its decoder row raises or lowers most.
LOGITS = {
    "dictionary": "str",
    "site": "str",
    "latent": "int64",
    "side": "str",  # top | bottom
    "rank": "int64",  # 0 strongest
    "token": "str",
    "value": "float64",  # logit per unit of activation, without the final norm
}

# Optional. One row per sampled latent and near latent of its dictionary.
NEIGHBOURS = {
    "dictionary": "str",
    "site": "str",
    "latent": "int64",
    "measure": "str",  # decoder: cosine of decoder rows, over the whole dictionary | cofiring: of firings, sampled ones
    "rank": "int64",  # 0 nearest
    "other": "int64",
    "value": "float64",  # cosine
}

# Optional. One row per sampled latent and one of its strongest windows: the text around it.
CONTEXTS = {
    "dictionary": "str",
    "site": "str",
    "latent": "int64",
    "window_id": "int64",  # one of the latent's strongest windows, as in `examples`
    "before": "str",  # up to one window of text in the same document
    "after": "str",
}

# Optional. One row per sampled latent and bin of its positive activations over all tokens of the corpus.
HISTOGRAMS = {
    "dictionary": "str",
    "site": "str",
    "latent": "int64",
    "low": "float64",  # edges of the bin; bins of a latent follow each other from 0 to its greatest activation
    "high": "float64",
    "n_tokens": "int64",
}
