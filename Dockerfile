# The servers, the bot and the command in one image; compose.yaml runs it.
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv --without-pip /opt/agentic
WORKDIR /src
# What is needed comes first: it changes less often than what is ours.
COPY requirements.txt .
RUN python -m pip --python /opt/agentic/bin/python install --require-hashes --no-deps -r requirements.txt
COPY pyproject.toml README.md ./
COPY servers servers
COPY client client
COPY bot bot
COPY agentic agentic
RUN python -m pip wheel --no-deps --wheel-dir /wheel . \
    && python -m pip --python /opt/agentic/bin/python install --no-deps --no-index /wheel/*.whl \
    && find /opt/agentic -depth \( -name tests -o -name __pycache__ \) -path '*/site-packages/*' -exec rm -rf {} + \
    && /opt/agentic/bin/python -m compileall -q -j 0 /opt/agentic/lib

FROM python:3.13-slim
# pip could install what nobody looked at.
RUN rm -rf /usr/local/lib/python3.13/site-packages/* /usr/local/bin/pip* \
    && groupadd --gid 10001 agentic \
    && useradd --uid 10001 --gid agentic --home-dir /data --no-create-home --shell /usr/sbin/nologin agentic \
    && install -d -o agentic -g agentic -m 700 /data /handover
COPY --from=build /opt/agentic /opt/agentic
COPY mcp.yml /etc/agentic/mcp.yml
ENV PATH=/opt/agentic/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MCP_CONFIG_PATH=/etc/agentic/mcp.yml AGENTIC_DATA_DIRECTORY=/data
USER agentic
WORKDIR /data
VOLUME ["/data"]
ENTRYPOINT ["agentic"]
CMD ["--help"]
