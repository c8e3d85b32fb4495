#!/usr/bin/env python3
"""Uses a gateway through OpenAI's own SDK, as an application would.

Asserts shapes, counts and error classes, never what a model says.
"""

import argparse

import openai
from openai import OpenAI

from checks import Checks, equal

checks = Checks()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base_url")
    parser.add_argument("api_key")
    parser.add_argument("model")
    parser.add_argument("embed_model", nargs="?")
    parser.add_argument("--dimensions", type=int, help="length of the vectors, where known")
    parser.add_argument("--limited-key", help="a key whose requests per minute are spent after its first request")
    parser.add_argument("--max-tokens", type=int, default=16)
    return parser.parse_args()


def client(args, key=None):
    return OpenAI(base_url=args.base_url, api_key=key or args.api_key, max_retries=0, timeout=120)


def prompt(args, text="Count to three.", **more):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    return {"model": args.model, "messages": messages, "max_tokens": args.max_tokens, **more}


def fails(error, call):
    """The error the call raises, which must be of this class and nothing else."""
    try:
        call()
    except openai.APIError as raised:
        assert type(raised) is error, f"raised {type(raised).__name__}, expected {error.__name__}: {raised}"
        return raised
    raise AssertionError(f"nothing raised, expected {error.__name__}")


@checks.add
def chat(args):
    completion = client(args).chat.completions.create(**prompt(args))
    equal(completion.object, "chat.completion")
    equal(completion.model, args.model)
    equal(completion.choices[0].message.role, "assistant")
    assert isinstance(completion.choices[0].message.content, str)
    assert completion.choices[0].finish_reason in ("stop", "length")
    usage = completion.usage
    assert usage.prompt_tokens > 0
    assert 0 < usage.completion_tokens <= args.max_tokens
    equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)


@checks.add
def stream_with_usage(args):
    chunks = list(client(args).chat.completions.create(**prompt(args, stream=True, stream_options={"include_usage": True})))
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)
    assert all(chunk.model == args.model for chunk in chunks)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text, "no content"
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    equal(len(reasons), 1)
    assert reasons[0] in ("stop", "length")
    equal([bool(chunk.usage) for chunk in chunks], [False] * (len(chunks) - 1) + [True])
    equal(chunks[-1].choices, [])
    assert 0 < chunks[-1].usage.completion_tokens <= args.max_tokens


@checks.add
def stream_without_usage(args):
    chunks = list(client(args).chat.completions.create(**prompt(args, stream=True)))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks), "usage was not asked for"


@checks.add
def embeddings_in_both_encodings(args):
    if not args.embed_model:
        return
    texts = ["the first text", "the second one"]
    create = client(args).embeddings.create
    floats = create(model=args.embed_model, input=texts, encoding_format="float")
    # The SDK asks for base64 unless told otherwise, and decodes it.
    decoded = create(model=args.embed_model, input=texts)
    raw = create(model=args.embed_model, input=texts, encoding_format="base64")
    one = create(model=args.embed_model, input=texts[0], encoding_format="float")
    equal(len(one.data), 1)
    equal(floats.model, args.embed_model)
    assert floats.usage.prompt_tokens > 0
    for answer in (floats, decoded, raw):
        equal([item.index for item in answer.data], [0, 1])
    for item in floats.data + decoded.data:
        assert all(isinstance(value, float) for value in item.embedding)
        assert len(item.embedding) == (args.dimensions or len(floats.data[0].embedding)) > 0
    assert isinstance(raw.data[0].embedding, str), "base64 was asked for"
    for left, right in zip(floats.data, decoded.data):
        assert all(abs(a - b) < 1e-3 for a, b in zip(left.embedding, right.embedding)), "the encodings differ"


@checks.add
def models(args):
    listed = {model.id: model for model in client(args).models.list()}
    assert args.model in listed, f"{args.model} is not listed"
    model = client(args).models.retrieve(args.model)
    equal((model.id, model.object), (args.model, "model"))
    equal(model.created, listed[args.model].created)
    page = openai.pagination.SyncPage[openai.types.Model]
    found = client(args).get_api_list("/models/search", page=page, model=openai.types.Model, options={"params": {"q": args.model}})
    assert args.model in [model.id for model in found], f"{args.model} is not found"
    unversioned = OpenAI(base_url=args.base_url.removesuffix("/v1"), api_key=args.api_key, max_retries=0)
    equal({model.id for model in unversioned.models.list()}, set(listed))


@checks.add
def wrong_key_is_an_authentication_error(args):
    error = fails(openai.AuthenticationError, lambda: client(args, "sk-acme.not-the-secret").chat.completions.create(**prompt(args)))
    equal((error.status_code, error.code), (401, "invalid_api_key"))
    assert error.request_id, "no x-request-id"


@checks.add
def unknown_model_is_a_not_found_error(args):
    body = prompt(args) | {"model": "no-such-model"}
    error = fails(openai.NotFoundError, lambda: client(args).chat.completions.create(**body))
    equal((error.status_code, error.code, error.param), (404, "model_not_found", "model"))
    error = fails(openai.NotFoundError, lambda: client(args).models.retrieve("no-such-model"))
    equal(error.code, "model_not_found")


@checks.add
def empty_messages_are_a_bad_request_error(args):
    body = prompt(args) | {"messages": []}
    error = fails(openai.BadRequestError, lambda: client(args).chat.completions.create(**body))
    equal((error.status_code, error.param), (400, "messages"))


@checks.add
def over_the_limit_is_a_rate_limit_error(args):
    if not args.limited_key:
        return
    limited = client(args, args.limited_key)
    limited.chat.completions.create(**prompt(args))
    error = fails(openai.RateLimitError, lambda: limited.chat.completions.create(**prompt(args)))
    equal((error.status_code, error.code), (429, "rate_limit_exceeded"))
    assert int(error.response.headers["retry-after"]) >= 1


if __name__ == "__main__":
    checks.run(arguments())
