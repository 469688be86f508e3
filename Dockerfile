# Airflow with what the lock pins and this package in it: complete by itself, nothing of the code is mounted.
# The base can be another image with Airflow 3.3, such as Astro Runtime: --build-arg BASE_IMAGE=...
ARG BASE_IMAGE=apache/airflow:3.3.2
# hadolint ignore=DL3006
FROM ${BASE_IMAGE}

# By number: the user has another name in other bases.
COPY --chown=50000:0 requirements.lock pyproject.toml LICENSE /opt/partner_center/
RUN pip install --no-cache-dir --no-deps --require-hashes -r /opt/partner_center/requirements.lock

COPY --chown=50000:0 alembic.ini /opt/partner_center/
COPY --chown=50000:0 include/migrations /opt/partner_center/include/migrations
COPY --chown=50000:0 include/sql /opt/partner_center/include/sql
COPY --chown=50000:0 scripts/partner_center_*.py /opt/partner_center/scripts/
COPY --chown=50000:0 dags /opt/partner_center/dags
COPY --chown=50000:0 plugins /opt/partner_center/plugins
# Editable, so that Airflow's plugins folder and the installed package are one; installed at all, so that Airflow knows
# the connection type. What builds it came with the lock. The volumes begin as these folders are: any user of group 0 may write.
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable /opt/partner_center \
    && mkdir -p /opt/airflow/logs /opt/airflow/secrets \
    && chmod g=u /opt/airflow/logs /opt/airflow/secrets

ENV AIRFLOW__CORE__DAGS_FOLDER=/opt/partner_center/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/partner_center/plugins
WORKDIR /opt/partner_center

ARG REVISION=unknown
LABEL org.opencontainers.image.title="Partner Center referrals for Airflow" \
      org.opencontainers.image.revision=${REVISION}
