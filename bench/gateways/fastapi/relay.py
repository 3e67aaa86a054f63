"""A relay as many run one on FastAPI: /v1 is streamed through httpx. For comparison in scripts/bench."""

import os
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

UPSTREAM = os.environ["OPENAI_BASE_URL"].removesuffix("/v1")
TOKEN = "Bearer " + os.environ["RELAY_TOKEN"]
AUTHORIZATION = "Bearer " + os.environ["OPENAI_API_KEY"]
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "host", "authorization"}


@asynccontextmanager
async def lifespan(app: FastAPI):
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=512)
    async with httpx.AsyncClient(base_url=UPSTREAM, timeout=600, limits=limits) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health():
    return {"status": "healthy"}


@app.api_route("/v1/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def relay(path: str, request: Request):
    if request.headers.get("authorization") != TOKEN:
        raise HTTPException(401, "Wrong token.")
    headers = [(name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP]
    headers.append(("authorization", AUTHORIZATION))
    client: httpx.AsyncClient = request.app.state.client
    up = client.build_request(
        request.method, f"/v1/{path}", params=request.query_params, headers=headers, content=await request.body()
    )
    answer = await client.send(up, stream=True)
    down = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP}
    return StreamingResponse(
        answer.aiter_raw(), status_code=answer.status_code, headers=down, background=BackgroundTask(answer.aclose)
    )
