"""What each dictionary preserves of the subject: FVU, loss increase and more, with intervals over documents.

`autointerp.reconstruction.metrics.evaluate(subject, arms, documents, config, bos=..., seed=...)` measures it;
`autointerp.reconstruction.base.held_out_documents(windows, config, context_length)` gives the documents.
"""
