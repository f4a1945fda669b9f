# Serves a model on a CPU, as docs/use.md describes:
#   make wheel
#   docker build -t auxface .
#   docker run --rm -p 8000:8000 -v "$PWD/runs/demo/l_ssat:/model:ro" -e AUXFACE_TOKEN=SECRET auxface
FROM python:3.12-slim
# Options of pip, such as an index of torch without CUDA, which makes the image several times smaller.
ARG PIP_OPTIONS=""
COPY dist/auxface-*.whl /tmp/
RUN wheel=$(ls /tmp/auxface-*.whl) \
    && pip install --no-cache-dir ${PIP_OPTIONS} "$wheel[serve,video]" \
    && rm "$wheel" \
    && useradd --create-home auxface
USER auxface
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=5)"]
ENTRYPOINT ["auxface"]
CMD ["serve", "/model", "--host", "0.0.0.0", "--port", "8000"]
