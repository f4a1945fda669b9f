"""The HTTP API (``/predict``, ``/explain``, ``/health``, ``/model``) and the web page, as a FastAPI application.

Example::

    app = create_app(predictor, settings)
"""

import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from auxface.errors import InputError
from auxface.inference.answers import forgery_note
from auxface.inference.explain import explain_image
from auxface.inference.predictor import Predictor, TorchScorer
from auxface.inference.preprocessing import DetectedFaces
from auxface.serve.page_content import SampleFaces, card_page
from auxface.serve.request_handler import RequestHandler, RequestScope
from auxface.serve.schemas import (
    RESPONSES,
    RETRY_SECONDS,
    ExplanationOut,
    Health,
    ModelOut,
    PredictionOut,
    RequestError,
    TaskOut,
    explanation_layers,
)
from auxface.serve.security import SecurityMiddleware
from auxface.serve.settings import ENVIRONMENT, LOGGER, Settings, log_to_standard_error
from auxface.serve.uploads import Upload, read_upload

PAGE = Path(__file__).with_name("page")
_SWITCH_SECONDS = 0.001
_log = logging.getLogger(LOGGER)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary", "description": "image or video"}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


def worker_app() -> FastAPI:
    """Return the application of one worker process; settings are read from an environment variable."""
    settings = Settings.from_json(os.environ[ENVIRONMENT])
    log_to_standard_error()
    return create_app(load_predictor(settings), settings)


def load_predictor(settings: Settings) -> Predictor:
    """Return the predictor for the settings.

    Raises:
        InputError: the model, detector or device is not available, or the model does not return finite scores.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    predictor = Predictor.from_pretrained(
        settings.model,
        device=settings.device,
        faces=settings.faces,
        detector=settings.detector,
        weights=None if settings.weights is None else Path(settings.weights),
        warn=_log.warning,
    )
    encoder = predictor.config.recipe.encoder
    frames = () if encoder.num_frames is None else (encoder.num_frames,)
    gray = np.full((1, *frames, 3, encoder.image_size, encoder.image_size), 127, np.uint8)
    if not all(np.isfinite(logits).all() for logits in predictor.scorer.score_images(gray).values()):
        raise InputError(
            f"{settings.model}: the model's scores for a gray image are not finite; the weights are corrupt"
        )
    if isinstance(predictor.scorer, TorchScorer) and not frames:
        # The first explanation imports many modules. Imports block the interpreter and thus delay other requests.
        whole = Predictor(predictor.scorer, faces="whole", warn=lambda text: None)
        explanation_layers(explain_image(whole, gray[0].transpose(1, 2, 0))[0])
    return predictor


def create_app(predictor: Predictor, settings: Settings) -> FastAPI:
    """Return the application that serves a predictor."""
    handler = RequestHandler(predictor, settings)
    samples = SampleFaces(settings.samples)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # A thread keeps the interpreter for up to this interval after another thread requests it. One request to
        # /health acquires it several times while explanations are drawn.
        sys.setswitchinterval(_SWITCH_SECONDS)
        handler.open()
        yield
        handler.close()

    app = FastAPI(
        title="auxface",
        version=version("auxface"),
        description=f"Predictions of the model '{predictor.config.recipe.name}' for faces. Uploads are not stored.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(SecurityMiddleware, settings=settings)
    _add_error_handlers(app)

    async def handle(
        request: Request, work: Callable[[Upload, RequestScope], Awaitable[dict[str, Any]]]
    ) -> JSONResponse:
        start = time.perf_counter()
        scope = RequestScope(request, settings.max_seconds)
        _refuse_full_queue(handler, settings)
        # Incomplete uploads are not counted; otherwise, slow clients could fill the queue.
        upload = await read_upload(request, settings)
        _refuse_full_queue(handler, settings)
        handler.unfinished += 1
        try:
            result = await work(upload, scope)
        finally:
            handler.unfinished -= 1
        _log.info("%s %s %.0f ms", request.url.path, upload.sha256, 1000 * (time.perf_counter() - start))
        return JSONResponse(result | {"input": upload.sha256})

    @app.post("/predict", response_model=PredictionOut, responses=RESPONSES, openapi_extra=_BODY)
    async def predict(request: Request) -> Any:
        """Return calibrated answers for every face in an image, or for every face that is tracked through a video."""
        return await handle(request, handler.predict)

    @app.post("/explain", response_model=ExplanationOut, responses=RESPONSES, openapi_extra=_BODY)
    async def explain(
        request: Request,
        task: Annotated[
            str | None, Query(max_length=200, description="name of the task; by default the first task")
        ] = None,
        face: Annotated[int, Query(ge=0, le=10_000, description="index of the face, from the left")] = 0,
    ) -> Any:
        """Return saliency maps and reconstruction errors for one face of an image."""
        return await handle(request, lambda upload, scope: handler.explain(upload, scope, task, face))

    @app.get("/health", response_model=Health, responses={400: RESPONSES[400]})
    async def health() -> Any:
        """Return the status of the server and the number of unfinished requests."""
        return Health(status="ok", in_hand=handler.unfinished, queue=settings.queue)

    @app.get("/model", response_model=ModelOut, responses={400: RESPONSES[400], 401: RESPONSES[401]})
    async def model() -> Any:
        """Return the model's tasks and the server's limits."""
        return _describe_model(predictor, settings, handler.can_explain)

    @app.get("/card", include_in_schema=False)
    def card() -> HTMLResponse:
        return HTMLResponse(card_page(predictor.config, _report_figures(settings)))

    @app.get("/report", include_in_schema=False)
    def report() -> Response:
        path = settings.report_page
        if path is None:
            raise RequestError(404, "this server has no audit to show; start it with --report")
        return FileResponse(path, media_type="text/html")

    @app.get("/report.json", include_in_schema=False)
    def report_content() -> Response:
        path = None if settings.report_page is None else settings.report_page.with_name("report.json")
        if path is None or not path.is_file():
            raise RequestError(404, "the audit has no file report.json")
        return FileResponse(path, media_type="application/json")

    @app.get("/csv/{name}", include_in_schema=False)
    def report_numbers(name: str) -> Response:
        # The report links to these files.
        page = settings.report_page
        files = {} if page is None else {path.name: path for path in (page.parent / "csv").glob("*.csv")}
        if name not in files:
            raise RequestError(404, f"the audit has no file csv/{name}")
        return FileResponse(files[name], media_type="text/csv")

    @app.get("/samples/{number}", include_in_schema=False)
    def sample(number: int) -> Response:
        try:
            return Response(samples[number], media_type="image/png")
        except IndexError:
            raise RequestError(
                404, f"sample {number} does not exist; expected a number from 0 to {samples.count - 1}"
            ) from None

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", media_type="text/html")

    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    return app


def _refuse_full_queue(handler: RequestHandler, settings: Settings) -> None:
    if handler.unfinished >= settings.queue:
        raise RequestError(429, f"the queue of {settings.queue} requests is full; try again in a moment")


def _add_error_handlers(app: FastAPI) -> None:
    """Register handlers that return every error as JSON with a ``reason``."""

    @app.exception_handler(RequestError)
    async def rejected(_: Request, error: RequestError) -> JSONResponse:
        headers = {"Retry-After": str(RETRY_SECONDS)} if error.status in (429, 503) else None
        return JSONResponse({"reason": error.reason}, error.status, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"reason": f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"}, 422)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"reason": str(error.detail).lower()}, error.status_code, headers=error.headers)


def _describe_model(predictor: Predictor, settings: Settings, explains: bool) -> ModelOut:
    config, extractor = predictor.config, predictor.face_extractor
    if isinstance(extractor, DetectedFaces):
        crop = extractor.cropper.settings
        faces = f"faces are detected with {crop.detector} and cropped with a margin of {crop.margin:g}"
    else:
        faces = "the central square of an image is used as one face"
    tasks = [
        TaskOut(
            name=task.name,
            kind=task.kind,
            classes=list(task.classes),
            thresholds=task.thresholds,
            abstain=task.abstain,
            evidence=task.evidence,
            meaning=forgery_note(task),
        )
        for task in config.tasks
    ]
    return ModelOut(
        name=config.recipe.name,
        tasks=tasks,
        image_size=predictor.image_size,
        faces=faces,
        explains=explains,
        report=settings.report_page is not None,
        provenance=config.provenance,
        limits={
            "bytes": settings.max_bytes,
            "pixels": settings.max_pixels,
            "frames": settings.max_frames,
            "seconds": settings.max_seconds,
        },
    )


def _report_figures(settings: Settings) -> dict[str, Any] | None:
    """Return the audit's ``report.json``; None if the file is missing or cannot be read."""
    page = settings.report_page
    try:
        return None if page is None else json.loads(page.with_name("report.json").read_bytes())
    except (OSError, ValueError):
        return None
