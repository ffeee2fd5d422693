"""The command line of fal's stand-in."""

import asyncio
from collections.abc import Sequence

from bot.sandbox.fal.options import PublicHosts
from bot.sandbox.fal.server import FalSandbox
from bot.sandbox.kit import command_line


async def serve(argv: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, the URL on the first line of the output."""
    parser = command_line.argument_parser("fal")
    parser.add_argument("--queue-seconds", type=float, default=0.2)
    parser.add_argument("--run-seconds", type=float, default=0.4)
    command_line.add_url_map(parser)
    arguments = parser.parse_args(argv)
    sandbox = FalSandbox(
        **command_line.shared_options(arguments),
        hosts=PublicHosts.all_at(arguments.public_url.rstrip("/")) if arguments.public_url else None,
        queue_seconds=arguments.queue_seconds,
        run_seconds=arguments.run_seconds,
        url_map=command_line.url_map(arguments),
    )
    await command_line.serve_until_stopped(sandbox, arguments.seed)


if __name__ == "__main__":
    asyncio.run(serve())
