"""Between a question and a back end: requests, retries, budget, response store."""
