# One image for every Python process of the lab: each service, the schedule, the load, the database's job.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
# An index other than pip's own; it stays in this stage.
ARG PIP_INDEX_URL
RUN apt-get update -q && apt-get install -y -q --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv --without-pip /opt/venv
COPY requirements-image.lock /build/
# Left out of the image: debugging symbols of extensions (they are half of them; the libraries that wheels
# bring along are not touched, stripping breaks those), tests, parts of NiceGUI that no page of ours uses.
RUN python3 -m pip --python /opt/venv/bin/python3 install --no-cache-dir --disable-pip-version-check \
        --no-compile --require-hashes -r /build/requirements-image.lock \
    && cd /opt/venv/lib/python3*/site-packages \
    && find . -depth -type d \( -name tests -o -name test -o -name testing \) -path './*/*' -exec rm -rf {} + \
    && find . -name '*.so' -not -path '*.libs/*' -exec strip --strip-unneeded {} + \
    && rm -rf nicegui/elements/plotly nicegui/elements/mermaid nicegui/elements/scene \
        nicegui/elements/codemirror nicegui/elements/json_editor nicegui/elements/aggrid \
    && /opt/venv/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash .
COPY services /lab/services
COPY database /lab/database
COPY scenarios /lab/scenarios
COPY exam/rubric.yaml /lab/exam/rubric.yaml
COPY traffic-generator /lab/traffic-generator
RUN /opt/venv/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /lab

FROM ${PYTHON_IMAGE}
RUN groupadd --system --gid 10001 lab \
    && useradd --system --uid 10001 --gid lab --no-create-home --home-dir /lab --shell /usr/sbin/nologin lab \
    && install -d -o lab -g lab /var/lib/firedrill
COPY --from=build /opt/venv /opt/venv
COPY --chmod=755 deploy/healthcheck /usr/local/bin/healthcheck
COPY --from=build /lab /lab
WORKDIR /lab
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LAB_BIND=0.0.0.0 \
    LAB_DIR=/var/lib/firedrill \
    ZONE_FILE=/var/lib/firedrill/dns/internal.corp.zone \
    PORT=8000
USER 10001:10001
EXPOSE 8000
# The first check waits by itself until the service is ready, so that the interval may be long.
HEALTHCHECK --interval=10s --timeout=30s --start-period=120s --retries=3 CMD ["healthcheck"]
CMD ["python3", "-m", "services", "profile"]
