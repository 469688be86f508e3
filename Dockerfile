# Airflow with what the lock pins and this package in it. The code itself is mounted over it by
# docker-compose.yaml; without the mounts the image is complete by itself.
FROM apache/airflow:3.3.2

COPY --chown=airflow:0 requirements.lock pyproject.toml LICENSE /opt/partner_center/
RUN pip install --no-cache-dir --no-deps --require-hashes -r /opt/partner_center/requirements.lock

COPY --chown=airflow:0 alembic.ini /opt/partner_center/
COPY --chown=airflow:0 include /opt/partner_center/include
COPY --chown=airflow:0 dags /opt/partner_center/dags
COPY --chown=airflow:0 plugins /opt/partner_center/plugins
COPY --chown=airflow:0 scripts/partner_center_device_code_flow.py /opt/partner_center/scripts/
# Editable, so that the mounted plugins/ is what runs; installed at all, so that Airflow knows the connection type.
RUN pip install --no-cache-dir --no-deps --editable /opt/partner_center

ENV AIRFLOW__CORE__DAGS_FOLDER=/opt/partner_center/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/partner_center/plugins
WORKDIR /opt/partner_center
