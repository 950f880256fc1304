# The service, without a compiler and without root. State lives in /var/lib/rogatory: mount a volume there.
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements/run.txt requirements/run.txt
RUN python -m venv /opt/rogatory \
 && /opt/rogatory/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY custody custody
COPY storage storage
COPY app app
COPY migrations migrations
RUN /opt/rogatory/bin/pip install --no-cache-dir --no-deps --no-build-isolation ./custody .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/rogatory --create-home --shell /usr/sbin/nologin rogatory
COPY --from=build /opt/rogatory /opt/rogatory
ENV PATH=/opt/rogatory/bin:$PATH ROGATORY_STATE=/var/lib/rogatory ROGATORY_HOST=0.0.0.0
USER rogatory
VOLUME /var/lib/rogatory
EXPOSE 8443
HEALTHCHECK --interval=30s --timeout=5s CMD ["python", "-c", "import ssl, urllib.request as r; \
  r.urlopen('https://localhost:8443/livez', context=ssl.create_default_context(cafile='/var/lib/rogatory/tls/ca.pem'))"]
ENTRYPOINT ["rogatory-server"]
CMD ["serve"]
