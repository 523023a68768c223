"""A server that answers the enrichment calls of a hub.

Start it with `ENRICHMENT_SECRET=whsec_... uvicorn enrich:app --port 9000`.
"""

import os

from standardwebhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

ORDERS = {1042: {"state": "shipped", "carrier": "DHL"}}


async def enrich(request: Request) -> JSONResponse:
    try:
        data = Webhook(os.environ["ENRICHMENT_SECRET"]).verify(await request.body(), dict(request.headers))
    except WebhookVerificationError:
        return JSONResponse({"error": "The signature is not valid."}, 400)
    order = ORDERS.get(data.get("order"))
    return JSONResponse(order or {"error": "This order does not exist."}, 200 if order else 404)


app = Starlette(routes=[Route("/enrich", enrich, methods=["POST"])])
