"""The peer: how a Python team builds a scorer that answers over HTTP, without Kafka in between. The features of the Fraud Detection Handbook from sorted sets in Redis,
read and written in one pipeline, and the same LightGBM model as verdict's example. Each piece is the quick choice of its kind: uvloop, httptools, hiredis, orjson,
bare numpy. It keeps no decisions, and an order that comes twice counts once in the sets but is scored again.

    PEER_REDIS=localhost:6379 PEER_MODEL=model.txt uvicorn app:app --workers 2 --loop uvloop --http httptools --no-access-log --port 8082
"""

import os
from datetime import datetime

import lightgbm
import numpy
import orjson
import redis.asyncio
from fastapi import FastAPI, Request, Response

DAY = 86_400
WINDOWS = (1 * DAY, 7 * DAY, 30 * DAY)
DELAY = 7 * DAY
KEEP = 40 * DAY

host, _, port = os.environ.get("PEER_REDIS", "localhost:6379").rpartition(":")
store = redis.asyncio.Redis(host=host, port=int(port), db=int(os.environ.get("PEER_DB", "1")), max_connections=64)
model = lightgbm.Booster(model_file=os.environ["PEER_MODEL"])
app = FastAPI(openapi_url=None)


@app.get("/readyz")
async def ready() -> Response:
    await store.ping()
    return Response()


@app.post("/v1/decisions")
async def decide(request: Request) -> Response:
    order = orjson.loads(await request.body())
    occurred = datetime.fromisoformat(order["occurred_at"])
    at, amount = occurred.timestamp(), order["amount"]
    customer, terminal, frauds = "c:" + order["customer_id"], "t:" + order["terminal_id"], "f:" + order["terminal_id"]

    pipe = store.pipeline(transaction=False)
    pipe.zadd(customer, {f"{order['order_id']}:{amount}": at})
    pipe.zrangebyscore(customer, f"({at - WINDOWS[-1]}", at, withscores=True)
    pipe.zadd(terminal, {order["order_id"]: at})
    for window in WINDOWS:
        pipe.zcount(terminal, f"({at - DELAY - window}", at - DELAY)
        pipe.zcount(frauds, f"({at - DELAY - window}", at - DELAY)
    for key in (customer, terminal):
        pipe.zremrangebyscore(key, "-inf", at - KEEP)
        pipe.expire(key, KEEP)
    answers = await pipe.execute()

    row = [amount, float(occurred.weekday() >= 5), float(occurred.hour <= 6)]
    history = [(score, float(member.rpartition(b":")[2])) for member, score in answers[1]]
    for window in WINDOWS:
        amounts = [paid for score, paid in history if score > at - window]
        row += [len(amounts), sum(amounts) / len(amounts)]
    for i in range(len(WINDOWS)):
        orders, bad = answers[3 + 2 * i], answers[4 + 2 * i]
        row += [orders, bad / orders if orders else 0.0]
    score = float(model.predict(numpy.array([row]), num_threads=1)[0])
    action = "reject" if score >= 0.8 else "review" if score >= 0.3 else "approve"
    return Response(orjson.dumps({"order_id": order["order_id"], "score": score, "action": action}), media_type="application/json")
