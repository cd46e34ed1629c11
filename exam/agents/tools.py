"""An agent's end of ``lab mcp``: the tools, called by name."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

PROJECT = Path(__file__).parents[2]
ANSWER_WITHIN_S = 60.0


class Refused(Exception):
    """A tool said no, in its own words."""


class Tools:
    """Calls tools of one candidate's server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, tool: str, /, **arguments: Any) -> Any:
        """The tool's answer, a JSON object. Raises ``Refused`` with what the tool says is wrong."""
        answer = await self._client.call_tool(tool, arguments, ANSWER_WITHIN_S)
        if answer.is_error:
            raise Refused(" ".join(getattr(part, "text", "") for part in answer.content))
        return answer.structured_content


@asynccontextmanager
async def candidate_tools() -> AsyncIterator[Tools]:
    """The tools of the candidate whose FIREDRILL_RUN and FIREDRILL_TOKEN are in the environment."""
    server = StdioServerParameters(
        command=sys.executable, args=["-P", "-m", "lab", "mcp"], env=dict(os.environ), cwd=PROJECT
    )
    async with Client(server) as client:
        yield Tools(client)


def say(text: str) -> None:
    """Tell whoever watches the agent what it does."""
    print(text, file=sys.stderr, flush=True)
