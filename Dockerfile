# Two images of one project: `operator` is the controller, `worker` is what the Jobs run.
# `make image` builds both. A release changes one small layer of each: its packages are another.
# Secrets hand the host's package-client settings to the steps that install, and leave no trace in
# a layer.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG PIP_CERT
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/build.lock requirements/
# One environment to build with, and the one that goes into the image: it has no pip of its own.
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=pip_cert \
    python3 -m venv /build && python3 -m venv --without-pip /opt/cascade && \
    /build/bin/pip install --quiet --require-hashes --no-deps -r requirements/build.lock

FROM build AS project
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
# Compiled by content: what is compiled holds whatever a registry does to the files' times.
RUN /build/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /wheels . && \
    /build/bin/pip --python /opt/cascade/bin/python install --quiet --no-compile --no-deps \
    --no-index /wheels/*.whl && \
    /opt/cascade/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/cascade/lib

FROM build AS operator-packages
ARG PIP_CERT
COPY requirements/operator.lock requirements/
# The Kubernetes client's classes, one per kind, are half of all and never imported: as source only.
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=pip_cert \
    /build/bin/pip --python /opt/cascade/bin/python install --quiet --no-compile --no-deps \
    --require-hashes -r requirements/operator.lock && \
    /opt/cascade/bin/python -m compileall -q --invalidation-mode unchecked-hash \
    -x '/kubernetes/(aio/)?client/(api|models)/' /opt/cascade/lib

FROM build AS worker-packages
ARG PIP_CERT
COPY requirements/worker.lock requirements/traces.lock requirements/
COPY operator/cascade_operator/traces/umap_process.py /warm/
# numba compiles UMAP for half a minute, and finds what it compiled by the times of the sources:
# these become whole seconds of one day. The code is for any processor of the architecture.
ENV NUMBA_CPU_NAME=generic
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=pip_cert \
    /build/bin/pip --python /opt/cascade/bin/python install --quiet --no-compile --no-deps \
    --require-hashes -r requirements/worker.lock -r requirements/traces.lock && \
    find /opt/cascade -exec touch --no-dereference --date=2026-01-01T00:00:00Z {} + && \
    /opt/cascade/bin/python -m compileall -q --invalidation-mode unchecked-hash \
    /opt/cascade/lib && \
    NUMBA_CACHE_DIR=/opt/cascade/share/numba /opt/cascade/bin/python /warm/umap_process.py --warm

FROM ${BASE} AS runtime
RUN groupadd --gid 10001 cascade && \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin \
    cascade
# The root is read-only: what a library keeps at home goes to /tmp, where a pod mounts a volume.
ENV PATH=/opt/cascade/bin:$PATH HOME=/tmp \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /tmp
USER 10001:10001

FROM runtime AS worker
COPY --from=worker-packages /opt/cascade /opt/cascade
COPY --from=project /opt/cascade /opt/cascade
ENV NUMBA_CPU_NAME=generic CASCADE_NUMBA_CACHE=/opt/cascade/share/numba
ENTRYPOINT ["cascade"]
CMD ["--help"]
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="cascade-operator-worker" \
      org.opencontainers.image.description="The Jobs of a TrainingSession: prepare, group, archive" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM runtime AS operator
COPY --from=operator-packages /opt/cascade /opt/cascade
COPY --from=project /opt/cascade /opt/cascade
EXPOSE 8080 8081
ENTRYPOINT ["cascade"]
CMD ["operator"]
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="cascade-operator" \
      org.opencontainers.image.description="Trains cascades of LLM agents: the controller of TrainingSessions" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
