# docker build -t autointerp .                                  the CPU build of torch
# docker build -t autointerp:cuda --build-arg DEVICE=cuda .     torch with CUDA, and vLLM
# docker run --rm -v "$PWD:/work" autointerp score
# docker run --rm --gpus all -v "$PWD:/work" autointerp:cuda serve Qwen/Qwen3-8B
ARG DEVICE=cpu
FROM python:3.12-slim AS base
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
COPY . /src

FROM base AS cpu
RUN pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu && pip install /src

FROM base AS cuda
RUN pip install '/src[vllm]'

FROM ${DEVICE}
RUN useradd --create-home user && mkdir /work && chown user /work && rm -rf /src
USER user
WORKDIR /work
ENTRYPOINT ["autointerp"]
CMD ["--help"]
