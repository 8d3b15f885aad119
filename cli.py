"""`python cli.py` is `autointerp` run from a checkout."""

from autointerp.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main())
