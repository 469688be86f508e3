# The simulator, which the package's image does not hold, with the versions of the dev lock.
ARG BASE_IMAGE=apache/airflow:3.3.2
# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
COPY requirements-dev.lock /tmp/
RUN awk '/^[^ #]/ {mine = /^trustme==/} mine' /tmp/requirements-dev.lock >/tmp/trustme.lock \
    && pip install --no-cache-dir --no-deps --require-hashes -r /tmp/trustme.lock
COPY include/simulator /opt/simulator/simulator
# The volume begins as this folder is: owned by the user.
USER 0
RUN mkdir /certificates && chown 50000:0 /certificates
USER 50000
ENV PYTHONPATH=/opt/simulator
ENTRYPOINT ["/usr/bin/dumb-init", "--", "python", "-m", "simulator"]
CMD ["--name", "simulator", "--port", "8443", "--state-dir", "/certificates"]
