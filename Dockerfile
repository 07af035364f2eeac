FROM python:3.11-slim

RUN useradd --create-home --uid 10001 memory && install -d -o memory -g memory -m 0700 /data
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY memory_service memory_service
COPY ingest ingest
RUN pip install --no-cache-dir .

USER memory
ENV MEMORY_DATA_DIR=/data MEMORY_HOST=0.0.0.0 MEMORY_LOG_FORMAT=json
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["memory-service"]
CMD ["serve"]
