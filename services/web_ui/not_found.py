"""What a path that is no page is answered with: JSON, as everywhere, or a page for a browser."""

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>No such page · Firedrill</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 15vh auto; max-width: 30em; padding: 0 1em; }
</style>
</head>
<body><h1>There is no such page.</h1><p>The console begins at <a href="/">the incidents</a>.</p></body>
</html>
"""


async def not_found(request: Request, _error: Exception) -> Response:
    """Answer 404 in the form that the client asks for."""
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(_PAGE, 404)
    return JSONResponse({"detail": "Not Found"}, 404)
