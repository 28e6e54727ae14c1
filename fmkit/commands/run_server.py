"""`fmkit runs serve`: a page over all runs in a browser on this machine."""

from collections.abc import Mapping
from pathlib import Path

from fmkit.commands.output import json_output
from fmkit.core import console, files
from fmkit.core.errors import ConfigError

USUAL_PORT = 8400


def serve(runs_dir: Path, options: Mapping[str, str]) -> None:
    """Serve until Ctrl-C.

    Raises:
        ConfigError: the port is taken or not one, or there is no such folder.
    """
    if json_output.is_on():
        raise ConfigError(
            "fmkit runs serve does not take --json: it prints an address, and serves until Ctrl-C.",
            "For scripts: fmkit runs --json",
        )
    from fmkit.serve import local_http
    from fmkit.serve.runs_site import RunsSite

    port = local_http.parse_port(options["port"]) if "port" in options else None
    if not runs_dir.is_dir():
        raise ConfigError(
            f"there is no folder {files.absolute_path(runs_dir)}.",
            "Name the folder of runs: runs_dir=DIR",
        )
    token = local_http.new_token()
    site = RunsSite(Path(files.absolute_path(runs_dir)), token)
    server = local_http.open_server(port, USUAL_PORT, token, site)
    console.write_stdout(f"{server.url}\n")
    console.info("Open this address in a browser on this machine; Ctrl-C ends it.")
    try:
        server.serve_forever()
    except KeyboardInterrupt:  # which is how it is meant to end
        console.info("stopped")
    finally:
        server.server_close()
