#!/usr/bin/env python3
"""Serves one GGUF model with the real HTTP server of llama.cpp, on a port of the kernel's choice.

Writes HOST:PORT into the announced file once it listens. One thread: threads of ggml spin, and a second one slows a
busy machine down.
"""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

import xllamacpp


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="GGUF file")
    parser.add_argument("--alias", required=True, help="the name it answers to")
    parser.add_argument("--announce", required=True, type=Path, help="file to write the address to")
    parser.add_argument("--embeddings", action="store_true", help="serve embeddings instead of chat")
    return parser.parse_args()


def parameters(args):
    params = xllamacpp.CommonParams()
    params.model.path = args.model
    params.model_alias = {args.alias}
    params.hostnames = ["127.0.0.1"] if isinstance(params.hostnames, list) else {"127.0.0.1"}
    params.port = 0
    params.n_ctx = 4096
    params.n_parallel = 2
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    if args.embeddings:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return params


def announce(path, url):
    """Renames into place, so that a reader never sees half an address."""
    partial = path.with_suffix(".partial")
    partial.write_text(url.removeprefix("http://").strip("/"))
    partial.rename(path)


def main():
    args = arguments()
    server = xllamacpp.Server(parameters(args))
    print("listening on", server.listening_address, file=sys.stderr, flush=True)
    announce(args.announce, server.listening_address)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    threading.Event().wait()


if __name__ == "__main__":
    main()
