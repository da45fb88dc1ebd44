# mmkd for NVIDIA GPUs: the pinned environment of `make env`, with the CUDA
# operators of mmcv, and the command mmkd.
#
#   docker build -t mmkd .
#   docker run --rm --gpus all --shm-size 8g -v "$PWD:/work" mmkd train CONFIG
#
# See docs/installation.md. This image has not been built by the tests.

# nvcc must have the CUDA version of torch: `torch.version.cuda` of the torch
# in constraints.txt.
FROM nvidia/cuda:13.0.1-devel-ubuntu24.04

# Compute capabilities: 8.0 A100, 8.6 RTX 30, 8.9 RTX 40, 9.0 H100.
ARG TORCH_CUDA_ARCH_LIST="8.0;8.6;8.9;9.0+PTX"

# libgl1 and libglib2.0-0 are for OpenCV, libgomp1 is for Open3D.
RUN apt-get update \
    && apt-get install -y --no-install-recommends make g++ libgl1 libglib2.0-0 libgomp1 \
    && rm -rf /var/lib/apt/lists/*
# Ubuntu 24.04 has no Python 3.11.
COPY --from=condaforge/miniforge3:latest /opt/conda /opt/conda
RUN /opt/conda/bin/mamba create -y -p /opt/python python=3.11 \
    && /opt/conda/bin/mamba clean -y --all

ENV CXX=g++ \
    MMKD_CACHE=/opt/mmkd-cache \
    MMKD_MMCV=cuda

# The environment first, so that a change of the code does not rebuild it.
WORKDIR /opt/mmkd
COPY constraints.txt lock.txt Makefile ./
COPY requirements requirements
COPY tools/setup tools/setup
RUN make PYTHON=/opt/python/bin/python env

COPY setup.py pyproject.toml MANIFEST.in README.md LICENSE ./
COPY configs configs
COPY mmkd mmkd
COPY driving_scenes driving_scenes
RUN python=$(make -s PYTHON=/opt/python/bin/python python) \
    && "$python" -m pip install --no-cache-dir --no-deps --no-build-isolation . \
    && ln -s "$(dirname "$python")/mmkd" /usr/local/bin/mmkd \
    && mmkd --version

WORKDIR /work
ENTRYPOINT ["mmkd"]
CMD ["--help"]
