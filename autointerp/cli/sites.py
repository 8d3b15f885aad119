"""List the sites of a subject model: their names here and in TransformerLens, and their widths.

    autointerp sites EleutherAI/pythia-160m --layer 5
    autointerp sites ./my-model --modules            every module path; any of them can be named

Only the model's configuration is read, no weights.
"""

import argparse
import json

from autointerp.errors import SiteError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", metavar="MODEL", help="local folder or hub id")
    parser.add_argument("--revision", help="branch, tag or commit on the hub")
    parser.add_argument("--layer", type=int, help="of this block only")
    parser.add_argument("--modules", action="store_true", help="list every module path instead")
    parser.add_argument("--trust-remote-code", action="store_true", help="run the checkpoint's own model code")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def run(args: argparse.Namespace) -> int:
    """Print one site a line: name, width, TransformerLens' name."""
    from autointerp.console import note
    from autointerp.subject import sites
    from autointerp.subject.skeleton import skeleton

    model = skeleton(args.model, args.revision, trust_remote_code=args.trust_remote_code)
    reasons: dict[str, str] = {}
    if args.modules:
        rows = [(path, type(module).__name__, "") for path, module in model.named_modules() if path]
        rows = [row for row in rows if args.layer is None or sites.layer(row[0]) == args.layer]
    else:
        listed = sites.list_sites(model)
        reasons = sites.unlisted(model)
        rows = [
            (str(entry.site), entry.width, entry.alias)
            for entry in listed
            if args.layer is None or sites.layer(entry.site) == args.layer
        ]
        reasons = {name: why for name, why in reasons.items() if args.layer in (None, sites.layer(name))}
    if not rows:
        raise SiteError(f"{args.model}: no block {args.layer}; its blocks are 0..{sites.block_list(model)[1] - 1}")
    if args.json:
        names = ("module", "type") if args.modules else ("site", "width", "transformer_lens")
        for row in rows:
            print(json.dumps(dict(zip(names, row, strict=False))))
        return 0
    wide = max(len(row[0]) for row in rows)
    for name, width, alias in rows:
        print(f"{name:<{wide}}  {width if args.modules else f'{width:,}':>8}  {alias}".rstrip())
    for why in dict.fromkeys(reasons.values()):
        missing = [name for name, reason in reasons.items() if reason == why]
        note(f"no {', '.join(missing[:4])}{f' and {len(missing) - 4} more' if len(missing) > 4 else ''}: {why}")
    return 0
