# The service and what it needs to run, without PyTorch: hashers are trained outside and mounted.
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY models models
COPY service service
COPY scripts scripts
# "milvus" where collections are to be kept there; empty otherwise.
ARG EXTRAS=""
RUN python3 -m venv /opt/hammingway \
    && /opt/hammingway/bin/pip install --no-cache-dir -c constraints.txt ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /data hammingway \
    && mkdir /data /hashers \
    && chown hammingway /data
COPY --from=build /opt/hammingway /opt/hammingway
ENV PATH=/opt/hammingway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    HAMMINGWAY_HOST=0.0.0.0 \
    HAMMINGWAY_ALLOW_OPEN=true \
    HAMMINGWAY_PORT=8000 \
    HAMMINGWAY_DATA=/data \
    HAMMINGWAY_HASHERS=/hashers
USER 10001
WORKDIR /data
VOLUME ["/data", "/hashers"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "service.process.healthcheck"]
CMD ["python", "-m", "service"]
