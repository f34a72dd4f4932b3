# The service in a container: docs/serving.md says how it is built and run.
#
#     docker build --tag ecellm .
#     docker run --init --read-only --tmpfs /tmp --env ECELLM_API_KEY --publish 127.0.0.1:8000:8000 \
#         --volume "$PWD/runs/demo/model:/model:ro" ecellm

ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
# Where pip finds packages beside its own index, such as torch's build for CPUs, which is smaller by some 5 GB.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/ecellm
WORKDIR /build
# First what seldom changes. An index that needs a password comes as a secret, which stays in no layer.
COPY requirements/run.txt requirements/dev.txt requirements/
RUN grep --no-filename == requirements/run.txt requirements/dev.txt > constraints.txt
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /opt/ecellm/bin/pip install --requirement requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /opt/ecellm/bin/pip install --no-build-isolation --constraint constraints.txt ".[serve]"

FROM python:${PYTHON_VERSION}-slim
# A MODEL folder in the build context, below container/ or runs/, to build in; without it one is mounted.
ARG MODEL=container
RUN groupadd --gid 10001 ecellm && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp ecellm
COPY --from=build /opt/ecellm /opt/ecellm
COPY --chown=10001:10001 ${MODEL} /model
# Only /tmp is written, so the root file system may be read-only.
ENV PATH=/opt/ecellm/bin:$PATH \
    HOME=/tmp \
    ECELLM_CACHE=/tmp/ecellm \
    HF_HUB_OFFLINE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=2m --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
# The exec form, so that SIGTERM reaches the service itself. Other options of the service stand behind the image's name.
ENTRYPOINT ["ecellm", "serve", "/model", "--host", "0.0.0.0", "--port", "8000"]
