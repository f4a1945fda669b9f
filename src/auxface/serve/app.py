"""The HTTP API: ``/predict``, ``/explain``, ``/health``, ``/model``, and the page."""

import json
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from auxface import __version__
from auxface.inference.answers import forgery_note
from auxface.inference.predictor import Predictor
from auxface.inference.preprocessing import WholeImage
from auxface.serve.handler import Answering
from auxface.serve.page_content import Samples, card_page
from auxface.serve.schemas import ExplanationOut, Health, ModelOut, PredictionOut, TaskOut, layers_of
from auxface.serve.security import RESPONSES, RETRY_SECONDS, Guard, Refusal
from auxface.serve.server import ENVIRONMENT, Settings, log_to_standard_error
from auxface.serve.uploads import Upload, receive

PAGE = Path(__file__).with_name("page")
_log = logging.getLogger("auxface.serve")
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
    """The application of one worker process, by the settings in its environment."""
    settings = Settings.from_text(os.environ[ENVIRONMENT])
    log_to_standard_error()
    return create_app(load_predictor(settings), settings)


def load_predictor(settings: Settings) -> Predictor:
    """The predictor that settings ask for.

    Raises:
        InputError: a model, detector or device that cannot be had.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    return Predictor.from_pretrained(
        settings.model,
        device=settings.device,
        faces=settings.faces,
        detector=settings.detector,
        weights=None if settings.weights is None else Path(settings.weights),
        warn=_log.warning,
    )


def create_app(predictor: Predictor, settings: Settings) -> FastAPI:
    """The application over a predictor."""
    answering = Answering(predictor, settings)
    samples = Samples(settings.samples)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        answering.open()
        yield
        answering.close()

    app = FastAPI(
        title="auxface",
        version=__version__,
        description=f"Answers of the model '{predictor.config.recipe.name}' about faces. Nothing that is sent is kept.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(Guard, settings=settings)
    _refusals(app)

    async def answer(request: Request, work: Callable[[Upload], Awaitable[Any]]) -> tuple[Upload, Any]:
        if answering.in_hand >= settings.queue:
            raise Refusal(429, f"{settings.queue} requests are in hand; try again in a moment")
        answering.in_hand += 1
        start = time.perf_counter()
        try:
            upload = await receive(request, settings)
            result = await work(upload)
        finally:
            answering.in_hand -= 1
        _log.info("%s %s %.0f ms", request.url.path, upload.mark, 1000 * (time.perf_counter() - start))
        return upload, result

    @app.post("/predict", response_model=PredictionOut, responses=RESPONSES, openapi_extra=_BODY)
    async def predict(request: Request) -> Any:
        """Every face in an image, or in a video followed through it, with calibrated answers."""
        upload, result = await answer(request, answering.predict)
        return JSONResponse(result.to_dict() | {"input": upload.mark})

    @app.post("/explain", response_model=ExplanationOut, responses=RESPONSES, openapi_extra=_BODY)
    async def explain(
        request: Request,
        task: Annotated[str | None, Query(max_length=200, description="which answer; the first by default")] = None,
        face: Annotated[int, Query(ge=0, le=10_000, description="which face, from the left")] = 0,
    ) -> Any:
        """Where the model looked on one face of an image, and what it rebuilt of it."""
        upload, one = await answer(request, lambda upload: answering.explain(upload, task, face))
        made = {"input": upload.mark, "face": one.face.to_dict(), "task": one.task, "output": one.output}
        return JSONResponse(made | {"layers": [layer.model_dump() for layer in layers_of(one)]})

    @app.get("/health", response_model=Health, responses={400: RESPONSES[400]})
    async def health() -> Any:
        """Whether the server answers, and how busy it is."""
        return Health(status="ok", in_hand=answering.in_hand, queue=settings.queue)

    @app.get("/model", response_model=ModelOut, responses={400: RESPONSES[400], 401: RESPONSES[401]})
    async def model() -> Any:
        """What the model answers, and within which bounds."""
        return _model(predictor, settings, answering.can_explain)

    @app.get("/card", include_in_schema=False)
    async def card() -> HTMLResponse:
        return HTMLResponse(card_page(predictor.config, report_figures(settings)))

    @app.get("/report", include_in_schema=False)
    async def report() -> Response:
        place = report_file(settings)
        if place is None:
            raise Refusal(404, "this server was given no audit (--report)")
        return FileResponse(place, media_type="text/html")

    @app.get("/samples/{number}", include_in_schema=False)
    def sample(number: int) -> Response:
        try:
            return Response(samples[number], media_type="image/png")
        except IndexError:
            raise Refusal(404, f"there are {samples.count} samples, from 0") from None

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", media_type="text/html")

    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    return app


def report_file(settings: Settings) -> Path | None:
    """The audit's page, if there is one."""
    if settings.report is None:
        return None
    place = Path(settings.report)
    place = place / "report.html" if place.is_dir() else place
    return place if place.is_file() else None


def report_figures(settings: Settings) -> dict[str, Any] | None:
    """The audit's ``report.json`` beside its page, if there is one that can be read."""
    page = report_file(settings)
    try:
        return None if page is None else json.loads(page.with_name("report.json").read_bytes())
    except (OSError, ValueError):
        return None


def _refusals(app: FastAPI) -> None:
    """Every refusal is JSON with a reason."""

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> JSONResponse:
        headers = {"Retry-After": str(RETRY_SECONDS)} if error.status in (429, 503) else None
        return JSONResponse({"reason": error.reason}, error.status, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"reason": f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"}, 422)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"reason": str(error.detail).lower()}, error.status_code, headers=error.headers)


def _model(predictor: Predictor, settings: Settings, explains: bool) -> ModelOut:
    config = predictor.config
    extractor = predictor.face_extractor
    if isinstance(extractor, WholeImage):
        faces = "the central square of an image is taken as one face"
    else:
        cut = extractor.cropper.settings  # pyright: ignore[reportAttributeAccessIssue]
        faces = f"faces are found with {cut.detector} and cut with a margin of {cut.margin:g}"
    tasks = [
        TaskOut(
            name=task.name,
            kind=task.kind,
            classes=list(task.classes),
            thresholds=task.thresholds,
            abstain=task.abstain,
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
        report=report_file(settings) is not None,
        provenance=config.provenance,
        limits={
            "bytes": settings.max_bytes,
            "pixels": settings.max_pixels,
            "frames": settings.max_frames,
            "seconds": settings.max_seconds,
        },
    )
