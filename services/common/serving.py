"""Serving a service's application, in every way that the lab runs."""

import uvicorn


def serve(app: str, host: str, port: int, websockets: bool = False) -> None:
    """Serve the ASGI application that the factory ``app`` (``module:function``) makes, until SIGTERM."""
    uvicorn.run(
        app,
        factory=True,
        host=host,
        port=port,
        http="httptools",
        loop="uvloop",
        ws="websockets-sansio" if websockets else "none",
        log_config=None,
        access_log=False,
        # A client's address is the connection's: a header could name any.
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
