# LLM Studio with CUDA. Any user id may run it; everything it keeps lies in the volume /studio.
#   docker run --gpus all -p 127.0.0.1:10101:10101 -v llm-studio:/studio llm-studio
FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04

# The archive keeps only the newest build of a package, so a pinned version would stop building.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv curl \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.lock pyproject.toml README.md LICENSE app.py ./
COPY llm_studio ./llm_studio
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir "$(grep '^torch==' requirements.lock)" \
    && /opt/venv/bin/pip install --no-cache-dir --constraint requirements.lock . \
    && mkdir /studio \
    && chmod 0777 /studio

ENV PATH=/opt/venv/bin:$PATH \
    LLM_STUDIO_HOME=/studio \
    HF_HOME=/studio/hub \
    HOME=/studio \
    PYTHONUNBUFFERED=1
USER 10001
VOLUME /studio
EXPOSE 10101
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:10101/"]
# Inside the container the address must be reachable from the published port; publish it to loopback only, as above.
CMD ["llm-studio", "studio", "--listen", "0.0.0.0", "--behind-proxy"]
