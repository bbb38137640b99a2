"""`kebench serve`: the results page of folders that are still filling."""

from pathlib import Path

import click

from kebench.cli.found import LOCAL, results_option, say
from kebench.cli.page import material
from kebench.errors import UserError
from kebench.report.figures import require_charts
from kebench.report.page import build_page
from kebench.report.serving import REFRESH_SECONDS, Progress, Site, server_of


@click.command()
@results_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any free one."
)
@click.option("--title", default="kebench results", show_default=True, help="Over the page.")
def serve(folders: tuple[Path, ...], host: str, port: int, title: str) -> None:
    """Serve the results page while a grid runs.

    It refreshes itself, and shows what is running and what failed.
    """
    watched = folders or (LOCAL,)
    require_charts()  # said now, and not to the browser
    for folder in watched:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder of records; name the --out of 'kebench run'")

    def build(progress: Progress) -> str:
        live = material(watched, title=title)
        return build_page(
            live, refresh_seconds=REFRESH_SECONDS, running=progress.running, failed=progress.failed
        )

    try:
        server = server_of(Site(watched, build), host=host, port=port)
    except OSError as error:
        raise UserError(f"{host}:{port}: {error.strerror}; choose another --port, or 0 for any") from None
    say(f"http://{host}:{server.server_address[1]}/ shows {', '.join(map(str, watched))}; stop with Ctrl-C")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say("stopped")
    finally:
        server.server_close()
