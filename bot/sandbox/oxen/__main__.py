"""The command line of Oxen's stand-in."""

import asyncio
from collections.abc import Sequence

from bot.sandbox.kit import command_line
from bot.sandbox.oxen.server import OxenSandbox


async def serve(argv: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, the URL on the first line of the output."""
    parser = command_line.argument_parser("oxen")
    parser.add_argument("--queue-seconds", type=float, default=0.2)
    parser.add_argument("--run-seconds", type=float, default=0.4)
    parser.add_argument("--credits", type=float, help="US dollars left (default: unlimited)")
    parser.add_argument("--results-elsewhere", action="store_true", help="redirect downloads to a second listener")
    command_line.add_url_map(parser)
    arguments = parser.parse_args(argv)
    sandbox = OxenSandbox(
        **command_line.shared_options(arguments),
        public_url=arguments.public_url.rstrip("/") if arguments.public_url else None,
        queue_seconds=arguments.queue_seconds,
        run_seconds=arguments.run_seconds,
        credits=arguments.credits,
        results_elsewhere=arguments.results_elsewhere,
        url_map=command_line.url_map(arguments),
    )
    await command_line.serve_until_stopped(sandbox, arguments.seed)


if __name__ == "__main__":
    asyncio.run(serve())
