"""The command line of Lumenfall's stand-in."""

import asyncio
from collections.abc import Sequence

from bot.sandbox.kit import command_line
from bot.sandbox.lumenfall.models import ROUTES
from bot.sandbox.lumenfall.server import LumenfallSandbox


async def serve(argv: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, the URL on the first line of the output."""
    parser = command_line.argument_parser("lumenfall")
    parser.add_argument("--run-seconds", type=float, default=0.3)
    parser.add_argument("--balance", type=float, default=25.0, help="US dollars that were paid in")
    parser.add_argument("--route", action="append", choices=ROUTES, help="the provider; in turn when repeated")
    parser.add_argument("--no-streams", action="store_true", help="ignore `stream: true`")
    arguments = parser.parse_args(argv)
    sandbox = LumenfallSandbox(
        **command_line.shared_options(arguments),
        public_url=arguments.public_url.rstrip("/") if arguments.public_url else None,
        run_seconds=arguments.run_seconds,
        balance=arguments.balance,
        routes=tuple(arguments.route or ("openai",)),
        streams=not arguments.no_streams,
    )
    await command_line.serve_until_stopped(sandbox, arguments.seed)


if __name__ == "__main__":
    asyncio.run(serve())
