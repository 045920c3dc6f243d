"""Serve a model over HTTP: spans of texts, and predictions for Label Studio and doccano."""

import argparse
import os
import socket
from pathlib import Path

from scripts import functions  # noqa: F401 (registers the parts of the model)
from scripts.core.errors import UserError, plain_console, run_step

TOKEN = "LABELWISE_TOKEN"  # noqa: S105 (the name of a variable)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="training/ner/seed-0/model-best")
    parser.add_argument("--run", default="ner", help="its name; default: %(default)s")
    parser.add_argument("--metrics", type=Path, default=Path("metrics"), help="its scores, if any: %(default)s")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; default: %(default)s, this machine")
    parser.add_argument("--port", type=int, default=9090, help="default: %(default)s; 0 for any that is free")
    parser.add_argument("--max-mb", type=float, default=1.0, help="of a request; default: %(default)s")
    parser.add_argument("--max-texts", type=int, default=1000, help="of a request; default: %(default)s")
    parser.add_argument("--max-characters", type=int, default=100_000, help="of a text; default: %(default)s")
    parser.add_argument("--max-seconds", type=float, default=30.0, help="until an answer; default: %(default)s")
    args = parser.parse_args()
    try:
        from scripts.serving.server import Limits, Service, load, serve
    except ModuleNotFoundError as err:
        raise UserError(f"{err.name} is not installed: pip install -r requirements-serve.txt") from err
    model = load(args.model, args.metrics, args.run)
    limits = Limits(args.max_mb, args.max_texts, args.max_characters, args.max_seconds)
    service = Service(model, limits, os.environ.get(TOKEN, ""))
    family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
    try:
        listener = socket.create_server((args.host, args.port), family=family)
    except (OSError, OverflowError) as err:
        raise UserError(f"cannot listen at {args.host}, port {args.port} ({err}): set --host or --port") from err
    address = f"[{args.host}]" if family == socket.AF_INET6 else args.host
    console = plain_console()
    if not os.environ.get(TOKEN) and args.host not in ("127.0.0.1", "localhost", "::1"):
        console.print(f"⚠ everyone who reaches {args.host} can use it: set {TOKEN}", soft_wrap=True)
    console.print(f"✔ {model.name} at http://{address}:{listener.getsockname()[1]}; Ctrl-C stops it", soft_wrap=True)
    serve(service, listener)


if __name__ == "__main__":
    run_step(main)
