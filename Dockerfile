# Two stages: what builds does not ship. No compiler is needed: every pin has a wheel.
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements/base.txt requirements/build.txt requirements/
RUN python -m venv /opt/easel \
 && /opt/easel/bin/pip install --no-cache-dir --require-hashes -r requirements/base.txt \
 && python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY cogs cogs
COPY migrations migrations
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/easel/bin/pip install --no-cache-dir --no-deps /wheels/*.whl

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 easel && install -d -o easel -g easel /home/easel/data
COPY --from=build /opt/easel /opt/easel
USER easel
WORKDIR /home/easel
VOLUME /home/easel/data
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/easel/bin/easel"]
CMD ["run"]
